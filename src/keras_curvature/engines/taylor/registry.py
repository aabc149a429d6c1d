"""What a rule is, and where it is looked up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_curvature.engines import op_types
from keras_curvature.engines.op_types import EVERY_INPUT, SMOOTH, Curve, Switches, Traits
from keras_curvature.engines.taylor.jets import Jet
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.typing import Tensor


@dataclass(frozen=True, eq=False)
class Step:
    """One op of a model as it was emitted.

    Attributes:
        op: the op in the traced graph; its attributes are read there.
        inputs: what was given to it.
        outputs: what it gave.
        again: emits the op once more, on other inputs.
        interpreter: what emitted it.
        environment: what stood for the tensors of the op's graph by then.
    """

    op: Any
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    again: Callable[[Sequence[Any]], Sequence[Tensor]]
    interpreter: Any
    environment: Any

    def with_operand(self, operand: Tensor, index: int = 0) -> Tensor:
        """The op's first result for another operand."""
        inputs = list(self.inputs)
        inputs[index] = operand
        return self.again(inputs)[0]

    def with_operand_and(self, operand: Tensor, argument: Tensor) -> Tensor:
        """The op's first result for another operand and another second argument."""
        return self.again([operand, argument, *self.inputs[2:]])[0]


Jets = Sequence[Jet | None]
"""One per input or output; `None` where nothing depends on the point."""

Propagate = Callable[[Step, Jets, Mode], Jets]


_rules: dict[str, Rule] = {}
_revision = 0


def revision() -> int:
    """Another number after each change of the rules: what was compiled before has the old ones."""
    return _revision


def _changed() -> None:
    global _revision  # noqa: PLW0603
    _revision += 1


def register(op_type: str, rule: Rule) -> None:
    """Makes the engine use `rule` for all ops of a type.

    Args:
        op_type: as in `tf.Operation.type`, for example `"Tanh"`; on JAX the name of a primitive,
            `"tanh"`.
        rule: one that `elementwise`, `linear` or `through` gives. Its traits count for a type
            of which the library knows nothing.

    Raises:
        ValueError: if the type has a rule; `deregister` it first.
        TypeError: for something else than a name and a rule.
    """
    _require_name(op_type)
    if not isinstance(rule, Rule):
        raise TypeError(
            "`rule` must be what `elementwise`, `linear` or `through` of `keras_curvature.taylor` "
            f"give. Received: {rule!r}."
        )
    if op_type in _rules:
        raise ValueError(
            f"There is a rule for {op_type!r} already. Call `deregister({op_type!r})` first."
        )
    _rules[op_type] = rule
    op_types.GIVEN[op_type] = rule.traits
    _changed()


def deregister(op_type: str) -> None:
    """Forgets the rule for a type of op, which then takes the generic fallback.

    Raises:
        ValueError: if there is none.
        TypeError: for something else than a name.
    """
    _require_name(op_type)
    if op_type not in _rules:
        raise ValueError(f"There is no rule for {op_type!r}. There are {sorted(_rules)}.")
    del _rules[op_type], op_types.GIVEN[op_type]
    _changed()


@contextlib.contextmanager
def without(op_type: str) -> Iterator[None]:
    """For a while there is no rule for a type of op, to see what its rule does."""
    rule = _rules.pop(op_type)
    _changed()
    try:
        yield
    finally:
        _rules[op_type] = rule
        _changed()


def is_registered(op_type: str) -> bool:
    """Whether a type of op has a rule.

    Raises:
        TypeError: for something else than a name.
    """
    _require_name(op_type)
    return op_type in _rules


def lookup(op_type: str) -> Rule | None:
    """The rule for a type of op, if there is one."""
    return _rules.get(op_type)


def _require_name(op_type: object) -> None:
    if not isinstance(op_type, str):
        raise TypeError(
            "`op_type` must be the name of a type of op, as in `tf.Operation.type`. "
            f"Received: {op_type!r}."
        )


def require_function(what: str, given: object) -> None:
    """Refuses as `what` anything that cannot be called."""
    if not callable(given):
        raise TypeError(f"`{what}` must be a function of tensors. Received: {given!r}.")


Keeps = Callable[[Any], bool]
"""From an op of a traced graph to whether it does."""


def always(op: Any) -> bool:
    """Whatever its arguments are."""
    return True


@dataclass(frozen=True)
class Rule:
    """How the ops of one type hand derivatives on.

    Attributes:
        propagate: from the jets of the inputs to those of the outputs.
        traits: what else is known of them.
        keeps_batch: whether the examples stay in order along the first axis.
        has_series: whether it carries orders above the second; else the backend is asked.
    """

    propagate: Propagate
    traits: Traits = op_types.UNKNOWN
    keeps_batch: Keeps = always
    has_series: bool = True

    def with_traits(self, **traits: Any) -> Rule:
        """The rule of ops of which more is known: `traits`, as in `Traits`."""
        return replace(self, traits=replace(self.traits, **traits))

    def kinked(
        self, word: str, instead: str = "", switches: Switches | None = None, **traits: Any
    ) -> Rule:
        """The rule of ops that are linear between kinks.

        Args:
            word: what they are called.
            instead: what to take in their place for a second derivative at every point.
            switches: from their inputs to a list of what changes its sign where they go from one
                piece to the next, itself linear in them; without it `kinks` refuses them.
            traits: as in `with_traits`.
        """
        return replace(self, has_series=True).with_traits(
            linear_in=self.traits.linear_in or EVERY_INPUT,
            is_piecewise=True,
            switches=switches,
            curve=Curve(word, instead),
            **traits,
        )

    def smooth(self, word: str, **traits: Any) -> Rule:
        """The rule of ops that are smooth and may be flat, by what they are called."""
        return self.with_traits(curve=Curve(word, form=SMOOTH), **traits)

    def vectorised(self) -> Rule:
        """The rule of ops that `tf.vectorized_map` is trusted with."""
        return self.with_traits(vectorises=True)


def carries(rule: Rule | None, above_second: bool) -> bool:
    """Whether an op's rule, if there is one, has all orders that are wanted."""
    return rule is not None and (rule.has_series or not above_second)


def never(op: Any) -> bool:
    """Whatever its arguments are, or nobody has looked."""
    return False
