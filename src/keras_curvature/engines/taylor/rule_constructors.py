"""The few ways in which ops behave: a rule is one of these with the op's particulars."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.op_types import EVERY_INPUT, Traits
from keras_curvature.engines.taylor.chain_rule import Argument
from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.jets import Base, Jet, is_shared, plus, sizes, spread
from keras_curvature.engines.taylor.modes import Bilinear, Mode, Pointwise
from keras_curvature.engines.taylor.recurrences import Solution
from keras_curvature.engines.taylor.registry import (
    Jets,
    Keeps,
    Rule,
    Step,
    always,
    never,
    require_function,
)
from keras_curvature.typing import Tensor

Derivative = Callable[[Tensor, Tensor], Tensor]
"""From an op's input and output to a derivative, all of one shape."""

OnStack = Callable[[Step, Tensor], Tensor]
"""A linear op on a stack: from `(s, *shape of the input)` to `(s, *shape of the output)`."""


def elementwise(
    first: Derivative, second: Derivative | None = None, solution: Solution | None = None
) -> Rule:
    """A function of each number by itself, by its derivatives.

    Args:
        first: from the input `x` and the output `y` to `dy/dx`.
        second: to `d²y/dx²`; `None` where it is 0: the function is linear, or piecewise linear.
        solution: to its power series, for orders above the second; without it the backend is asked.

    Raises:
        TypeError: for what is no function.
    """
    require_function("first", first)
    if second is not None:
        require_function("second", second)

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        x, y, jet = step.inputs[0], step.outputs[0], jets[0]
        if jet is None:
            raise NotImplementedError(f"{step.op.type} of a constant and something else")
        found = function_of(
            x, y, jet, mode, first(x, y), None if second is None else second(x, y), solution
        )
        return [found, *[None] * (len(step.outputs) - 1)]

    pieces = Traits(linear_in=(0,), is_piecewise=True, is_pointwise=True)
    if second is None:
        return Rule(propagate, pieces)
    return Rule(propagate, Traits(is_pointwise=True), has_series=solution is not None)


def function_of(
    x: Tensor,
    y: Tensor,
    jet: Jet,
    mode: Mode,
    first: Tensor,
    second: Tensor | None,
    solution: Solution | None = None,
) -> Jet:
    """The jet of `y`, a function of each number of `x`, by its derivatives there."""
    bends = {} if second is None else {(0, 0): second}

    def series(mode: Any) -> Any:
        assert solution is not None
        found = solution(x, y, first, second)
        return mode.series(x, jet).through([found[k] for k in range(mode.orders.highest + 1)])

    return mode.elementwise(
        y, [Argument(jet, first)], bends, series if solution is not None and bends else None
    )


def identity() -> Rule:
    """Hands every input on as it is."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        # The value of the output may have a better known shape.
        pairs = zip(step.outputs, jets, strict=False)
        return [j and Jet(y, j.of) for y, j in pairs]

    return Rule(propagate, Traits(linear_in=EVERY_INPUT))


def nothing(keeps_batch: Keeps = always, **traits: Any) -> Rule:
    """Ends every derivative: the op is piecewise constant, or its author meant it.

    Args:
        keeps_batch: as in `Rule`.
        traits: what else is known of it, as in `Traits`.
    """
    known = Traits(linear_in=EVERY_INPUT, is_piecewise=True, ends=True, **traits)
    return Rule(lambda step, jets, mode: [None] * len(step.outputs), known, keeps_batch)


Partials = tuple[Sequence[Any], Mapping[tuple[int, int], Any]]
"""First derivatives by each argument (`None` for 1), second ones by pairs `i <= j`."""


def partials(
    derivatives: Callable[..., Partials],
    series: Callable[..., Any] | None = None,
    **traits: Any,
) -> Rule:
    """An elementwise function of several arguments, which may be broadcast.

    Args:
        derivatives: from the inputs and the output to the partial derivatives.
        series: the function itself, of the `Series` of its inputs, for orders above the second.
        traits: what else is known of it, as in `Traits`.
    """

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        firsts, seconds = derivatives(*step.inputs, step.outputs[0])
        active = [i for i, jet in enumerate(jets) if jet is not None]
        arguments = [Argument(jets[i], firsts[i]) for i in active]  # type: ignore[arg-type]
        bends = {
            (active.index(i), active.index(j)): bend
            for (i, j), bend in seconds.items()
            if i in active and j in active
        }
        y = step.outputs[0]

        def of_series(mode: Any) -> Any:
            assert series is not None
            given = zip(step.inputs, jets, strict=True)
            return series(*(mode.series(x, jet).stretched(y) for x, jet in given))

        return [mode.elementwise(y, arguments, bends, of_series if series and bends else None)]

    known = Traits(**{"is_pointwise": True, **traits})
    is_linear = known.linear_in == EVERY_INPUT or known.is_piecewise
    return Rule(propagate, known, has_series=is_linear or series is not None)


def linear(
    on_stack: OnStack,
    keeps_batch: Keeps = always,
) -> Rule:
    """A linear function of the first input.

    Args:
        on_stack: what it does to a stack; to one slice for all examples, where `keeps_batch`.
        keeps_batch: as in `Rule`.
    """
    return linear_in((0,), lambda step, i, stack: on_stack(step, stack), keeps_batch)


def linear_in(
    which: Sequence[int] | None,
    on_stack: Callable[[Step, int, Tensor], Tensor],
    keeps_batch: Keeps = always,
) -> Rule:
    """A sum of linear functions of single inputs; other inputs must not be active.

    Args:
        which: the inputs in which the op is linear; `None` for all.
        on_stack: from an input's index and its stack to its part of the result's.
        keeps_batch: as in `Rule`.
    """

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        active = {i: jet for i, jet in enumerate(jets) if jet is not None}
        others = [i for i in active if which is not None and i not in which]
        if others:
            raise NotImplementedError(f"{step.op.type} by its argument {others[0]}")
        bases = {i: mode.settle(jet).base for i, jet in active.items()}

        def act(stack: Tensor, i: int) -> Tensor:
            whole = stack if keeps_batch(step.op) else spread(stack, step.inputs[i])
            return on_stack(step, i, whole)

        def first(*stacks: Tensor) -> Tensor:
            return functools.reduce(plus, map(act, stacks, bases))

        seconds = [act(base.second, i) for i, base in bases.items() if base.second is not None]
        second = functools.reduce(plus, seconds, None)
        return [Jet(step.outputs[0], Base(_linear_in_first(list(bases.values()), first), second))]

    return Rule(propagate, Traits(linear_in=EVERY_INPUT if which is None else which), keeps_batch)


def _linear_in_first(bases: Sequence[Base], function: Callable[..., Tensor]) -> Any:
    """First derivatives, or what works them out where those of the only input have yet to be."""
    pending = bases[0].pending if len(bases) == 1 else None
    return function(*(base.first for base in bases)) if pending is None else pending.then(function)


def joining(on_stacks: Callable[[Step, list[Tensor]], Tensor], keeps_batch: Keeps) -> Rule:
    """Lays several inputs side by side; a constant's stack is 0.

    Args:
        on_stacks: from the stacks of all inputs, axis left out, to that of the result.
        keeps_batch: as in `Rule`.
    """

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        y = step.outputs[0]
        parts = [i for i, x in enumerate(step.inputs) if x.dtype == y.dtype]
        bases = [None if (jet := jets[i]) is None else mode.settle(jet).base for i in parts]
        values = [step.inputs[i] for i in parts]
        stays = keeps_batch(step.op)

        def joined(stacks: Sequence[Tensor | None], count: int) -> Tensor:
            pairs = list(zip(stacks, values, strict=True))
            shared = stays and all(stack is None or is_shared(stack, x) for stack, x in pairs)
            whole = [
                xp.zeros([count, *([1, *sizes(x, 1)] if shared else sizes(x))], x.dtype)
                if stack is None
                else stack
                if shared
                else spread(stack, x)
                for stack, x in pairs
            ]
            return on_stacks(step, whole)

        first = joined([None if base is None else base.first for base in bases], mode.directions)
        seconds = [None if base is None else base.second for base in bases]
        none = all(stack is None for stack in seconds)
        return [Jet(y, Base(first, None if none else joined(seconds, mode.slices)))]

    return Rule(propagate, Traits(linear_in=EVERY_INPUT), keeps_batch)


def parting(
    on_stack: Callable[[Step, Tensor], Sequence[Tensor]],
    keeps_batch: Keeps,
    operand: int = 0,
) -> Rule:
    """Takes one input apart into several outputs.

    Args:
        on_stack: from the input's stack to those of the outputs.
        keeps_batch: as in `Rule`.
        operand: which input it is.
    """

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        jet = jets[operand]
        if jet is None:
            raise NotImplementedError(f"{step.op.type} by its other argument")
        base = mode.settle(jet).base
        x, stays = step.inputs[operand], keeps_batch(step.op)
        first, second = (
            stack if stack is None or stays else spread(stack, x)
            for stack in (base.first, base.second)
        )
        firsts = on_stack(step, first)
        seconds = [None] * len(firsts) if second is None else on_stack(step, second)
        return [
            Jet(y, Base(*stacks)) for y, *stacks in zip(step.outputs, firsts, seconds, strict=True)
        ]

    return Rule(propagate, Traits(linear_in=(operand,)), keeps_batch)


def folding(operand: int = 0) -> Rule:
    """A linear op that treats the examples along the first axis alike: more examples do."""

    def on_stack(step: Step, index: int, stack: Tensor) -> Tensor:
        return unfold(step.with_operand(fold(stack), index), stack)

    return linear_in((operand,), on_stack)


def fold(stack: Tensor) -> Tensor:
    """Lays the directions out as more examples."""
    return xp.reshape(stack, [-1, *sizes(stack, 2)])


def unfold(folded: Tensor, stack: Tensor) -> Tensor:
    """The stack that was folded and gone through an op."""
    examples = -1 if stack.shape[1] is None else stack.shape[1]
    if folded.shape[0] is not None:
        examples = folded.shape[0] // stack.shape[0]
    return xp.reshape(folded, [stack.shape[0], examples, *sizes(folded, 1)])


def as_it_is(step: Step, stack: Tensor) -> Tensor:
    """Ops that do not mind another axis in front."""
    return step.with_operand(stack)


def slicewise(step: Step, index: int, stack: Tensor) -> Tensor:
    """Any linear op, direction after direction."""
    if stack.shape[0] <= UNROLLED:
        return xp.stack([step.with_operand(slice_, index) for slice_ in xp.unstack(stack)])
    return xp.map_slices(lambda slice_: step.with_operand(slice_, index), stack, step.outputs[0])


UNROLLED = 4
"""Directions up to which a graph is written out for each instead of a loop."""


def slicewise_linear(operand: int = 0) -> Rule:
    """A linear op that is asked about one direction at a time."""
    return linear_in((operand,), slicewise, never)


def product(
    apply: Callable[[Step, Tensor, Tensor], Tensor],
    left: OnStack,
    right: OnStack,
    summed: Callable[[Step, Tensor, Tensor], Tensor] | None = None,
) -> Rule:
    """A bilinear function of two inputs.

    Args:
        apply: on two stacks, direction by direction.
        left: on a stack of the first input and the second input itself.
        right: on a stack of the second input and the first input itself.
        summed: as `apply`, summed over the directions, with one slice.
    """

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        bases = [None if jet is None else mode.settle(jet).base for jet in jets]
        acting = [
            (base, x, act)
            for base, x, act in zip(bases, step.inputs, (left, right), strict=False)
            if base is not None
        ]

        def first(*stacks: Tensor) -> Tensor:
            parts = [act(step, s) for s, (_, _, act) in zip(stacks, acting, strict=True)]
            return functools.reduce(plus, parts)

        seconds = [act(step, b.second) for b, _, act in acting if b.second is not None]
        second = functools.reduce(plus, seconds, None)
        if len(acting) == 1:
            linear = _linear_in_first([acting[0][0]], first)
            return [mode.finish(step.outputs[0], linear, second, [])]

        def together(a: Tensor, b: Tensor) -> Tensor:
            return apply(step, a, b)

        def total(a: Tensor, b: Tensor) -> Tensor:
            assert summed is not None
            return summed(step, a, b)

        one, other = (spread(base.first, x) for base, x, _ in acting)
        above = [None if b.second is None else spread(b.second, x) for b, x, _ in acting]
        term = Bilinear(
            one, other, together, None if summed is None else total, (above[0], above[1])
        )
        return [mode.finish(step.outputs[0], first(*(b.first for b, *_ in acting)), second, [term])]

    return Rule(propagate, Traits(is_multilinear=True))


def normalised(
    deviation: Callable[[Step, Tensor], Tensor],
    scaled: Callable[[Step, Tensor], Tensor],
    apply: Callable[[Step, Tensor], Tensor],
    adjoint: Callable[[Step, Tensor], Tensor],
    series: Callable[[Step, Any], Any],
) -> Rule:
    """A function with `y' = scaled(t)` and `y'' = apply(t * t) + scaled(t'')`.

    Args:
        deviation: from a stack of `z'` to `t`, or of `z''` to `t''`.
        scaled: linear, on stacks.
        apply: linear, on stacks.
        adjoint: the transposed of `apply`.
        series: its own, from that of the deviations, for orders above the second.
    """

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        jet = jets[0]
        assert jet is not None
        if isinstance(mode, HigherOrders):
            z = mode.series(step.inputs[0], jet)
            u = z.map(functools.partial(deviation, step), z.value)
            return [mode.jet(step.outputs[0], series(step, u))]
        base = mode.settle(jet).base
        t = deviation(step, base.first)
        term = Pointwise(t, t, lambda s: apply(step, s), lambda w: adjoint(step, w))
        second = None if base.second is None else scaled(step, deviation(step, base.second))
        return [mode.finish(step.outputs[0], scaled(step, t), second, [term])]

    return Rule(propagate)
