"""Taylor propagation through programs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.activity import Place
from keras_curvature.engines.programs.flat_function import ProgramFunction
from keras_curvature.engines.programs.recorded_model import RecordedModel, record
from keras_curvature.engines.programs.structure import (
    active_instructions,
    first_mixing,
    linear_entry,
)
from keras_curvature.engines.quantities import ALONG_AXES
from keras_curvature.engines.taylor.engine import ADJOINTS, TaylorEngine
from keras_curvature.engines.taylor.registry import carries, lookup

NESTED = own_module("nested").Nested()


@dataclass(frozen=True)  # equal to itself in a key
class Taylor(TaylorEngine[ProgramFunction]):
    """Second-order Taylor propagation."""

    def products(
        self, f: ProgramFunction, rows: Any, others: Sequence[Any], seeds: Any, directions: Any
    ) -> Any:
        """By forward over reverse, the cheapest way to all entries of one product."""
        return NESTED.products(f, rows, others, seeds, directions)

    def hessian_rows(self, f: ProgramFunction, z: Any, rest: Sequence[Any], directions: Any) -> Any:
        """The same for all outputs."""
        return NESTED.hessian_rows(f, z, rest, directions)

    def record(self, f: ProgramFunction, z: Any, rest: Sequence[Any]) -> RecordedModel:
        """Runs a model and keeps what it did."""
        return record(f, z, rest)

    def has_adjoint(self, f: ProgramFunction) -> bool:
        """Whether tangents and one reverse pass per output give all second derivatives."""
        return not why_no_adjoint(f)

    def directions(self, f: ProgramFunction, names: Collection[str]) -> int:
        """As many as the narrowest result of a linear beginning is wide."""
        if not ALONG_AXES & set(names):
            return 1
        instructions, sources, traced = _way(f)
        entry = linear_entry(instructions, sources, traced.outputs, traced.program)
        d = f.inputs.width
        return d if entry is None else min(d, entry.width)


def _way(f: ProgramFunction) -> Any:
    """The active instructions of a model, with several examples: one looks like none."""
    traced = f.traced_for(f.examples if f.examples > 1 else SEVERAL)
    sources = f.sources(traced)
    needed = traced.program.needed(traced.outputs, [*sources])
    return active_instructions(needed, sources, traced.program), sources, traced


SEVERAL = 7
"""How many examples a program is looked at with that has been traced for one."""


def why_no_adjoint(f: ProgramFunction) -> str:
    """Why tangents and one reverse pass per output do not give all second derivatives, or `""`."""
    if f.outputs.width > ADJOINTS:
        return f"of more than {ADJOINTS} outputs"
    instructions, sources, _ = _way(f)
    mixing = first_mixing(instructions, sources)
    if mixing is None:
        return ""
    places = {place.op_name: place for place in f.activity.active}
    return f"through {places.get(mixing.name, Place(mixing.type, mixing.name, ''))}"


def fallbacks(f: ProgramFunction, above_second: bool = False) -> tuple[Place, ...]:
    """Primitives without a rule, which the backend itself is asked about.

    Args:
        f: the model.
        above_second: whether derivatives above the second are wanted, which fewer rules have.
    """
    active = f.activity.active
    return tuple(place for place in active if not carries(lookup(place.op_type), above_second))


def unsuited(f: ProgramFunction) -> tuple[Place, ...]:
    """Nothing: the backend itself is asked about whatever has no rule."""
    return ()
