"""A model as a list of ops that take on enclosures, read once from what it did on one example."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.linear_steps import linear_step
from keras_curvature.enclosures.rules import RULES, Apply, Use, as_numbers, held
from keras_curvature.engines.api import Computed, Place, traits_of


@dataclass(frozen=True, eq=False)
class Instruction:
    """An op, what it reads that depends on the point, and what it writes."""

    apply: Apply
    reads: tuple[Hashable, ...]
    writes: tuple[Hashable, ...]
    place: Place


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

    def run(self, given: Sequence[JetBounds], pairs: Pairs) -> list[JetBounds]:
        """The enclosures of the outputs."""
        known = dict(zip(self.sources, given, strict=True))
        last = {name: i for i, found in enumerate(self.instructions) for name in found.reads}
        kept = {name for name in self.results if not isinstance(name, JetBounds)}
        for i, instruction in enumerate(self.instructions):
            found = instruction.apply([known[name] for name in instruction.reads], pairs)
            for name in set(instruction.reads) - kept:
                if last[name] == i:
                    del known[name]
            known.update(zip(instruction.writes, found, strict=False))
        return [y if isinstance(y, JetBounds) else known[y] for y in self.results]


def read(computed: Computed) -> Program:
    """What a model does.

    Raises:
        ValueError: for ops without a rule; the message names them and their layers.
    """
    active = set(computed.sources)
    instructions: list[Instruction] = []
    missing: dict[str, None] = {}
    for step in computed.steps:
        places = tuple(i for i, name in enumerate(step.reads) if name in active)
        traits = traits_of(step.op.type)
        if not places or traits.shapes_only:
            continue
        use = Use(step, places)
        rule = RULES.get(step.op.type.lower())
        if rule is None and traits.is_linear_in(places) and not traits.is_piecewise:
            rule = linear_step
        active.update(name for name in step.writes if name is not None)
        try:
            if rule is None:
                raise NotImplementedError("has no rule")
            apply = rule(use)
        except NotImplementedError as error:
            missing[f"{step.place} {error}"] = None
            continue
        reads = tuple(step.reads[i] for i in places)
        instructions.append(Instruction(apply, reads, step.writes, step.place))
    if missing:
        raise ValueError(f"The model cannot be enclosed: {'; '.join(missing)}.")
    results = tuple(
        name if name in active else held(as_numbers(value))
        for name, value in zip(computed.results, computed.values, strict=True)
    )
    return Program(tuple(instructions), computed.sources, results)
