"""A model as a list of ops that take on enclosures, read once from what it did on one example."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_curvature.enclosures import affine
from keras_curvature.enclosures.affine import Affine
from keras_curvature.enclosures.composite import composite
from keras_curvature.enclosures.functions import HasRange
from keras_curvature.enclosures.interval import Interval, both
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.linear_steps import linear_step
from keras_curvature.enclosures.rules import RULES, Word, by_word, held, word_of
from keras_curvature.enclosures.scalar_trees import Tree, built, known
from keras_curvature.enclosures.softmax import softmax_along
from keras_curvature.enclosures.transposed import Elementwise, Linear, elementwise
from keras_curvature.enclosures.use import Apply, Use, as_numbers, is_condition
from keras_curvature.enclosures.written_out_softmax import softmax_of
from keras_curvature.engines.api import Computed, ComputedStep, Place, traits_of, xp
from keras_curvature.typing import Array


@dataclass(frozen=True, eq=False)
class Instruction:
    """An op, what it reads that depends on the point, and what it writes.

    Attributes:
        apply: how it takes on enclosures.
        reads: by name, likewise the others.
        writes: its results.
        place: the op and its layer.
        missing: why it has no rule, if it has none.
    """

    apply: Apply
    reads: tuple[Hashable, ...]
    writes: tuple[Hashable, ...]
    place: Place
    missing: str = ""

    def run(self, given: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        """The results, with the affine form of each met with its interval."""
        found = self.apply(given, pairs)
        radius = next((jet.form.radius for jet in given if jet.form is not None), None)
        if radius is None:
            return found
        deep = any(jet.slope_form is not None for jet in given)
        return [_met(jet, radius, deep) for jet in found]


def _met(found: JetBounds, radius: Array, deep: bool) -> JetBounds:
    """Intervals met with forms; what has no form gets that of its interval."""

    def of(x: Interval, form: Affine | None, lead: int) -> tuple[Interval, Affine]:
        if form is None:
            return x, affine.of_interval(x, radius, lead)
        return both(x, form.bounds()), form

    value, form = of(found.value, found.form, 1)
    slope, bend, slope_form, bend_form = found.slope, found.bend, None, None
    if deep and slope is not None:
        slope, slope_form = of(slope, found.slope_form, 2)
    if deep and bend is not None:
        bend, bend_form = of(bend, found.bend_form, 2)
    return JetBounds(value, slope, bend, form, slope_form, bend_form)


@dataclass(frozen=True, eq=False)
class Program:
    """A model.

    Attributes:
        instructions: in order.
        sources: the names of what it is differentiated by.
        results: its outputs, by name; or as they are where they do not depend on the point.
    """

    instructions: tuple[Instruction, ...]
    sources: tuple[Hashable, ...]
    results: tuple[Hashable | JetBounds, ...]

    @property
    def is_reversible(self) -> bool:
        """Whether linear functions of the outputs can be carried back through all of it."""
        return all(isinstance(step.apply, (Linear, Elementwise)) for step in self.instructions)

    def run(self, given: Sequence[JetBounds], pairs: Pairs) -> list[JetBounds]:
        """The enclosures of the outputs."""
        values = dict(zip(self.sources, given, strict=True))
        last = {name: i for i, found in enumerate(self.instructions) for name in found.reads}
        kept = {name for name in self.results if not isinstance(name, JetBounds)}
        for i, instruction in enumerate(self.instructions):
            found = instruction.run([values[name] for name in instruction.reads], pairs)
            for name in set(instruction.reads) - kept:
                if last[name] == i:
                    del values[name]
            values.update(zip(instruction.writes, found, strict=False))
        return [y if isinstance(y, JetBounds) else values[y] for y in self.results]


@dataclass(frozen=True, eq=False)
class _Formula:
    """A tensor as a function, entry by entry, of another one."""

    of: Hashable
    tree: Any


@dataclass
class _Reader:
    """Reads steps one by one; formulas wait until somebody needs their numbers."""

    active: set[Hashable]
    by_hand: Collection[str] = ()
    instructions: list[Instruction] = field(default_factory=list)
    formulas: dict[Hashable, _Formula] = field(default_factory=dict)
    shapes: dict[Hashable, tuple[int, ...]] = field(default_factory=dict)
    waiting: dict[Hashable, Instruction] = field(default_factory=dict)
    writers: dict[Hashable, ComputedStep] = field(default_factory=dict)

    def step(self, step: ComputedStep) -> None:
        """Adds a step."""
        places = tuple(i for i, name in enumerate(step.reads) if name in self.active)
        traits = traits_of(step.op.type)
        passes = step.writes[:1] == step.reads[:1]  # such as a stop of a gradient that is lifted
        if not places or traits.shapes_only or passes:
            return
        use = Use(step, places)
        word = word_of(use)
        written = softmax_of(step, self.writers)
        self.active.update(name for name in step.writes if name is not None)
        self.writers.update(dict.fromkeys(step.writes, step))
        reads = tuple(step.reads[i] for i in places)
        why = ""
        try:
            _require_own_derivative(step, self.by_hand)
            _require_numbers(use, word)
            if written is not None:
                apply, reads, word = softmax_along(written.axis, written.log), (written.name,), None
            elif word is not None:
                apply = by_word(use, word)
            elif use.type in RULES:
                apply = RULES[use.type](use)
            elif traits.is_linear_in(places) and not traits.is_piecewise:
                apply = linear_step(use)
            else:
                raise NotImplementedError("has no rule")
        except NotImplementedError as error:
            apply, word, why = _nothing, None, str(error)
        found = Instruction(apply, reads, step.writes, step.place, why)
        formula = None if word is None else self._formula(use, word)
        if formula is None:
            self.need(reads)
            self.instructions.append(found)
        else:
            self.formulas[step.writes[0]] = formula
            self.waiting[step.writes[0]] = found

    def _formula(self, use: Use, word: Word) -> _Formula | None:
        """An op as a formula of the only tensor that it depends on."""
        roots = {self._root(use.step.reads[i]) for i in use.active}
        if len(roots) != 1 or use.step.writes[0] is None:
            return None
        (root,) = roots
        shape = self.shapes.setdefault(root, tuple(use.step.inputs[use.active[0]].shape))
        if use.shape != shape:
            return None
        arguments = []
        places = word.order[:1] if word.function is not None else word.order
        for i in places:
            if i in use.active:
                if tuple(use.step.inputs[i].shape) != shape:
                    return None
                name = use.step.reads[i]
                arguments.append(self.formulas[name].tree if name in self.formulas else "x")
            else:
                try:
                    arguments.append(use.number(i))
                except NotImplementedError:
                    return None
        function = word.function(use) if word.function is not None else None
        return _Formula(root, built(word.name, arguments, function))

    def _root(self, name: Hashable) -> Hashable:
        return self.formulas[name].of if name in self.formulas else name

    def need(self, names: Sequence[Hashable]) -> None:
        """Has the numbers of some tensors computed."""
        for name in names:
            found = self.waiting.pop(name, None)
            if found is None:
                continue
            function = _as_one(self.formulas[name].tree)
            if function is not None:
                root = self.formulas[name].of
                found = Instruction(elementwise(function), (root,), (name,), found.place)
            else:
                self.need(found.reads)
            # From here on it is known, and what comes of it begins with it.
            del self.formulas[name]
            self.instructions.append(found)


LOOPS = {"case", "cond", "if", "scan", "statelesscase", "statelessif", "statelesswhile", "while"}


def _require_own_derivative(step: ComputedStep, by_hand: Collection[str]) -> None:
    if step.op.type.lower() in LOOPS:
        raise NotImplementedError(
            "is a loop or a branch, through which no bounds go: a recurrent layer can be built "
            "with `unroll=True`"
        )
    if step.place.op_name in by_hand:
        raise NotImplementedError(
            "has a derivative that its author has written, which need not be that of its values"
        )


ON_CONDITIONS = {"all", "bitwise_not", "logical_not", "logicalnot"}
"""Rules for conditions."""


def _require_numbers(use: Use, word: Word | None) -> None:
    """A condition taken as a number jumps, which no rule but those for conditions knows."""
    if use.type in ON_CONDITIONS or (word is None and use.type not in RULES):
        allowed = use.active  # or else a linear op, which looks after it itself
    elif word is not None and word.name == "select":
        allowed = word.order[:1]
    else:
        allowed = ()
    for i in use.active:
        dtype = use.step.inputs[i].dtype
        floating = xp.is_floating(dtype)
        if not floating and not (i in allowed and is_condition(dtype)):
            raise NotImplementedError(
                "takes a condition or a whole number that depends on the input"
            )
        if floating and i in allowed and use.type in ON_CONDITIONS:
            raise NotImplementedError("takes a number as a condition")


def _nothing(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
    raise AssertionError("is not run")


def _as_one(tree: Any) -> HasRange | None:
    """A formula as one function, where it is worth it: where it is bent in more than one place."""
    if not isinstance(tree, Tree):
        return None
    row = known(tree)
    if row is not None:
        return row
    bends = len(_bends(tree))
    if bends > 1 or (bends and _uses(tree) > 1):
        try:
            return composite(tree)
        except NotImplementedError:
            return None
    return None


def _uses(tree: Any) -> int:
    if isinstance(tree, Tree):
        return sum(map(_uses, tree.arguments))
    return int(tree == "x")


def _bends(tree: Any) -> set[int]:
    """The parts of a formula that are no sums and no multiples."""
    if not isinstance(tree, Tree):
        return set()
    found = set().union(*map(_bends, tree.arguments))
    linear = tree.name in ("add", "sub") or (
        tree.name == "mul" and isinstance(tree.arguments[0], float)
    )
    if linear or (tree.name == "div" and isinstance(tree.arguments[1], float)):
        return found
    return found | {id(tree)}


def read(computed: Computed, by_hand: Collection[str] = ()) -> Program:
    """What a model does.

    Args:
        computed: on one example.
        by_hand: the names of ops with a derivative that their author has written.

    Raises:
        ValueError: for ops without a rule; the message names them and their layers.
    """
    reader = _Reader(set(computed.sources), by_hand)
    for step in computed.steps:
        reader.step(step)
    wanted = [name for name in computed.results if name in reader.active]
    reader.need(wanted)
    instructions = _live(reader.instructions, wanted)
    missing = dict.fromkeys(
        f"{found.place} {found.missing}"
        for found in instructions
        if found.missing and not found.place.op_type.startswith("TensorList")  # a loop's own
    )
    if missing:
        raise ValueError(
            f"The model cannot be enclosed: {'; '.join(missing)}. Bounds go through linear maps, "
            "sums, products, maxima and functions of a number; `keras_curvature.enclosures.rules` "
            "lists all that there are."
        )
    results = tuple(
        name if name in reader.active else held(as_numbers(value))
        for name, value in zip(computed.results, computed.values, strict=True)
    )
    return Program(instructions, computed.sources, results)


def _live(
    instructions: Sequence[Instruction], wanted: Sequence[Hashable]
) -> tuple[Instruction, ...]:
    """The instructions that the results take."""
    needed, found = set(wanted), []
    for instruction in reversed(instructions):
        if needed & set(instruction.writes):
            needed |= set(instruction.reads)
            found.append(instruction)
    return tuple(found[::-1])
