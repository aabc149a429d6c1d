"""What a model's program allows: where it begins linearly, and whether examples stay in order."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.programs.program import Instruction, Operation, Program, Slot
from keras_curvature.engines.taylor.jets import Base, Jet
from keras_curvature.engines.taylor.registry import lookup

batch_axis = own_module("taylor.batch_axis")


def active_instructions(
    instructions: Iterable[Instruction], sources: Sequence[Slot], program: Program
) -> list[Instruction]:
    """Those that depend on the sources by a derivative."""
    active, found = set(sources), []
    for instruction in instructions:
        floats = [s for s in instruction.outputs if xp.has_derivative(program.avals[s].dtype)]
        depends = any(x in active for x in instruction.inputs if isinstance(x, Slot))
        if depends and floats and not traits_of(instruction.operation.type).ends:
            active.update(floats)
            found.append(instruction)
    return found


def first_mixing(instructions: Sequence[Instruction], sources: Sequence[Slot]) -> Operation | None:
    """The first operation whose result has not the examples along its first axis, in order."""
    active = set(sources)
    for instruction in instructions:
        reached = [
            i for i, x in enumerate(instruction.inputs) if isinstance(x, Slot) and x in active
        ]
        if not keeps_batch(instruction.operation, reached):
            return instruction.operation
        active.update(instruction.outputs)
    return None


def keeps_batch(operation: Operation, reached: Collection[int]) -> bool:
    """Whether an operation hands on examples along the first axis, in order."""
    if lookup(operation.type) is None or operation.is_complex or not operation.results[0].shape:
        return False
    n = operation.results[0].shape[0]
    given = [operation.avals[i] for i in reached]
    if any(not aval.shape or aval.shape[0] != n for aval in given):
        return False
    test = batch_axis.KEEPING.get(operation.type)
    return test is None or test(operation, reached)


@dataclass(frozen=True, eq=False)
class Cut:
    """A result on which everything depends, and that depends linearly on the point.

    Attributes:
        slot: of shape `(n, *shape)`.
        before: the instructions up to it.
        after: those behind it.
        width: how many numbers it has per example.
    """

    slot: Slot
    before: tuple[Instruction, ...]
    after: tuple[Instruction, ...]
    width: int

    def start(self, value: Any, rows: Any) -> dict[Slot, Jet]:
        """The jet of the result for directions `(k, width)` of its own."""
        stack = xp.reshape(rows, (rows.shape[0], 1, *value.shape[1:]))
        return {self.slot: Jet(value, Base(stack))}


def linear_entry(
    instructions: Sequence[Instruction],
    sources: Sequence[Slot],
    results: Sequence[Any],
    program: Program,
) -> Cut | None:
    """The narrowest result that a model's linear beginning goes through, if there is one."""
    last_use: dict[Any, float] = {y: math.inf for y in results if isinstance(y, Slot)}
    for position, instruction in enumerate(instructions):
        for x in instruction.inputs:
            if isinstance(x, Slot):
                last_use[x] = max(position, last_use.get(x, 0))
    active: list[Slot] = list(sources)
    best: Cut | None = None
    for position, instruction in enumerate(instructions):
        reached = [
            i for i, x in enumerate(instruction.inputs) if isinstance(x, Slot) and x in active
        ]
        if reached:
            operation = instruction.operation
            traits = traits_of(operation.type)
            if lookup(operation.type) is None or traits.is_piecewise:
                break
            if not traits.is_linear_in(reached) or not keeps_batch(operation, reached):
                break
            active += instruction.outputs
        waiting = [s for s in active if last_use.get(s, -1) > position]
        if len(waiting) == 1:
            width = math.prod(program.avals[waiting[0]].shape[1:])
            if best is None or width <= best.width:
                behind = position + 1
                best = Cut(
                    waiting[0], tuple(instructions[:behind]), tuple(instructions[behind:]), width
                )
    return best
