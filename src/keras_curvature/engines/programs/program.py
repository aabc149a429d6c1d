"""A traced model as a flat list of steps: calls are entered, slots have numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_curvature.engines.arrays import xp


@dataclass(frozen=True, eq=False)
class Operation:
    """One primitive of a backend with its parameters.

    Attributes:
        type: the primitive's name, or that of a function with a derivative of its own.
        primitive: what is bound.
        params: its parameters.
        scope: the names of the layers that it is in, with slashes between.
        number: its place in the program.
        shifts: whether it is a `stop_gradient` of what a function of JAX's subtracts for the sake
            of the values, and does not depend on.
        avals: shape and dtype of what it reads.
        results: the same of what it writes.
    """

    type: str
    primitive: Any
    params: dict[str, Any]
    scope: str
    number: int
    avals: tuple[Any, ...]
    results: tuple[Any, ...]
    shifts: bool = False

    @functools.cached_property
    def is_complex(self) -> bool:
        """Whether complex numbers are in it, of which formulas of real ones need not hold."""
        avals = (*self.avals, *self.results)
        dtypes = [aval.dtype for aval in avals if hasattr(aval, "dtype")]
        return not all(map(xp.is_real, dtypes))

    @property
    def name(self) -> str:
        """As it stands in messages."""
        return f"{self.scope}/{self.type}" if self.scope else self.type


@dataclass(frozen=True, order=True)
class Slot:
    """Where a result lies."""

    number: int


@dataclass(frozen=True)
class Guard:
    """Which case of a `where` the result of an operation is, and nothing else."""

    condition: Slot
    case: int


@dataclass(frozen=True, eq=False)
class Instruction:
    """An operation with the slots that it reads and writes; a constant stands for itself."""

    operation: Operation
    inputs: tuple[Any, ...]
    outputs: tuple[Slot, ...]
    guard: Guard | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """A flat program.

    Attributes:
        arguments: the slots of what it is given.
        results: slots, or constants.
        avals: shape and dtype by slot.
        instructions: in order.
    """

    arguments: tuple[Slot, ...]
    results: tuple[Any, ...]
    avals: dict[Slot, Any]
    instructions: tuple[Instruction, ...]

    def needed(self, fetches: Iterable[Any], given: Iterable[Slot]) -> list[Instruction]:
        """The instructions that `fetches` take where `given` are known, in order."""
        known, wanted, found = set(given), {f for f in fetches if isinstance(f, Slot)}, []
        for instruction in reversed(self.instructions):
            written = [s for s in instruction.outputs if s in wanted and s not in known]
            if written:
                found.append(instruction)
                wanted |= {s for s in instruction.inputs if isinstance(s, Slot)}
                if instruction.guard is not None:
                    wanted.add(instruction.guard.condition)
        return found[::-1]
