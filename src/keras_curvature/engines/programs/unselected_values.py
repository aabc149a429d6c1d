"""What a `where` does not select must not reach a derivative: 0 times infinity is NaN."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.programs.program import Guard, Instruction, Slot

selections = own_module("selections")


def with_guards(instructions: Sequence[Instruction], results: Sequence[Any]) -> list[Instruction]:
    """The instructions with what a `where` behind them selects, whose condition comes first.

    Behind `where(x > 0, sqrt(x), 0)` the derivative by what is left out is 0, and meets an infinite
    slope in reverse mode. So an operation that leads to the `where` and nowhere else is given a
    number at which it is smooth, at the entries that are left out.
    """
    users: dict[Slot, list[Instruction | None]] = defaultdict(list)
    for instruction in instructions:
        for x in instruction.inputs:
            if isinstance(x, Slot):
                users[x].append(instruction)
    for y in results:
        if isinstance(y, Slot):
            users[y].append(None)
    makers = {slot: i for i, found in enumerate(instructions) for slot in found.outputs}
    guards = {i: _guard(found, users) for i, found in enumerate(instructions)}
    order: list[int] = []
    placed: set[int] = set()
    guarded: dict[int, Guard] = {}

    def place(i: int) -> None:
        if i in placed:
            return
        wanted = [x for x in instructions[i].inputs if isinstance(x, Slot)]
        guard = guards[i]
        if guard is not None and i not in _behind(guard.condition, instructions, makers):
            guarded[i] = guard
            wanted.append(guard.condition)
        for slot in wanted:
            if slot in makers:
                place(makers[slot])
        placed.add(i)
        order.append(i)

    for i in range(len(instructions)):
        place(i)
    return [replace(instructions[i], guard=guarded.get(i)) for i in order]


def _guard(
    instruction: Instruction, users: Mapping[Slot, Sequence[Instruction | None]]
) -> Guard | None:
    """What selects the result; `None` where anything else makes use of it."""
    if instruction.operation.type not in selections.SINGULAR:
        return None
    found = instruction
    while True:
        (slot, *more) = found.outputs
        shape = found.operation.results[0].shape
        behind = users[slot]
        if more or len(behind) != 1 or behind[0] is None:
            return None
        user = behind[0]
        case = selections.case_of(user, slot)
        if case is not None:
            condition = user.inputs[0]
            fits = isinstance(condition, Slot) and user.operation.avals[0].shape == shape
            return Guard(condition, case) if fits else None
        if not traits_of(user.operation.type).is_pointwise:
            return None
        if user.operation.results[0].shape != shape:
            return None
        found = user


def _behind(
    slot: Slot, instructions: Sequence[Instruction], makers: Mapping[Slot, int]
) -> set[int]:
    """The instructions that a slot takes."""
    found: set[int] = set()
    waiting = [slot]
    while waiting:
        i = makers.get(waiting.pop())
        if i is not None and i not in found:
            found.add(i)
            waiting += [x for x in instructions[i].inputs if isinstance(x, Slot)]
    return found


def held(instruction: Instruction, inputs: Sequence[Any], values: Mapping[Slot, Any]) -> list[Any]:
    """The inputs of an operation, smooth where its result is not selected."""
    guard = instruction.guard
    if guard is None:
        return list(inputs)
    which = values[guard.condition]
    taken = selections.is_taken(which, guard.case)
    smooth = 2 if instruction.operation.type == "acosh" else 0.5
    return [
        xp.where(taken, x, xp.constant(smooth, x.dtype))
        if isinstance(source, Slot) and x.shape == taken.shape and xp.has_derivative(x.dtype)
        else x
        for source, x in zip(instruction.inputs, inputs, strict=True)
    ]
