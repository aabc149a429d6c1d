"""Exponentials relative to the largest of a row: how softmax and its kin keep their digits.

JAX subtracts the maximum of a row for the sake of the values. The slope of the largest probability
then is a difference of numbers of which nothing is left in float32 once it rounds to 1. Where the
largest entry's own 0 depends on nothing, the others alone are summed up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from keras_curvature.engines.programs.program import Instruction, Operation, Slot

LARGEST, LESS_LARGEST = "largest of a row", "less largest of a row"
PASSED = "stop_gradient that is passed"


def rewritten(instructions: Sequence[Instruction]) -> list[Instruction]:
    """The instructions, with `x - max(x)` in words of the place of the largest entry.

    A maximum that JAX's own functions hold is let go: they do not depend on what they subtract.
    """
    writers = {slot: found for found in instructions for slot in found.outputs}
    changed: dict[Instruction, Instruction] = {}
    for instruction in instructions:
        if instruction.operation.type != "sub":
            continue
        x, shift = instruction.inputs
        way = _way(x, shift, writers)
        if not way:
            continue
        axis = way[0].operation.params["axes"][0]
        changed[instruction] = _as(instruction, LESS_LARGEST, axis=axis)
        changed[way[0]] = _as(way[0], LARGEST, axis=axis)
        for held in way[1:]:
            if held.operation.type == "stop_gradient":
                changed[held] = _as(held, PASSED)
    return [changed.get(instruction, instruction) for instruction in instructions]


def _as(instruction: Instruction, name: str, **params: Any) -> Instruction:
    operation = replace(instruction.operation, type=name)
    return replace(instruction, operation=replace(operation, params={**operation.params, **params}))


def as_written(operation: Operation) -> dict[str, Any]:
    """The parameters that JAX has given to an operation."""
    ours = ("axis",) if operation.type in (LARGEST, LESS_LARGEST) else ()
    return {name: value for name, value in operation.params.items() if name not in ours}


def _way(x: Any, shift: Any, writers: Mapping[Slot, Instruction]) -> list[Instruction]:
    """What makes a shift of the maximum of `x`, from the maximum on; nothing if it is none."""
    writer = writers.get(shift) if isinstance(shift, Slot) else None
    if writer is None:
        return []
    operation = writer.operation
    if operation.type == "reduce_max":
        alone = len(operation.params["axes"]) == 1
        return [writer] if alone and writer.inputs[0] is x else []
    kept = KEPT.get(operation.type)
    given = None if kept is None else kept(writer, writers)
    way = [] if given is None else _way(x, given, writers)
    return [*way, writer] if way and _is_in_place(writer, way[0]) else []


def _is_in_place(instruction: Instruction, maximum: Instruction) -> bool:
    """Whether each maximum is still that of its own row: without its axis, or with 1 or all."""
    shape, (axis,) = maximum.operation.avals[0].shape, maximum.operation.params["axes"]
    places = tuple(range(len(shape)))
    along = {
        (*shape[:axis], *shape[axis + 1 :]): (*places[:axis], *places[axis + 1 :]),
        (*shape[:axis], 1, *shape[axis + 1 :]): places,
        shape: places,
    }
    operation = instruction.operation
    if operation.results[0].shape not in along:
        return False
    if operation.type != "broadcast_in_dim":
        return True
    before = operation.avals[0].shape
    return bool(operation.params["broadcast_dimensions"] == along.get(before))


def _first(instruction: Instruction, writers: Mapping[Slot, Instruction]) -> Any:
    return instruction.inputs[0]


def _held(instruction: Instruction, writers: Mapping[Slot, Instruction]) -> Any:
    """A maximum that JAX holds while it subtracts it."""
    return instruction.inputs[0] if instruction.operation.shifts else None


def _above_nothing(instruction: Instruction, writers: Mapping[Slot, Instruction]) -> Any:
    """What is compared with -inf."""
    slots = [x for x in instruction.inputs if isinstance(x, Slot)]
    numbers = [x for x in instruction.inputs if not isinstance(x, Slot)]
    return slots[0] if len(slots) == 1 and np.all(np.isneginf(numbers[0])) else None


def _if_finite(instruction: Instruction, writers: Mapping[Slot, Instruction]) -> Any:
    """What stays where it is finite: a shift where it is not is asked for, see `shifted`."""
    condition, *cases = instruction.inputs
    by = writers.get(condition) if isinstance(condition, Slot) else None
    if by is None or by.operation.type != "is_finite" or len(cases) != 2:
        return None
    return cases[1] if by.inputs[0] is cases[1] else None


KEPT: dict[str, Callable[[Instruction, Mapping[Slot, Instruction]], Any]] = {
    "broadcast_in_dim": _first,
    "max": _above_nothing,
    "reshape": _first,
    "select_n": _if_finite,
    "squeeze": _first,
    "stop_gradient": _held,
}
"""What JAX does with a maximum before it subtracts it, and which input is the maximum still.

-inf becomes 0, an axis comes back; what anybody else takes or makes of it is another shift.
"""


def _places(x: Any, axis: int) -> Any:
    """Whether an entry is the largest of its row, or the first of several."""
    return jax.nn.one_hot(jnp.argmax(x, axis), x.shape[axis], axis=axis, dtype=bool)


def largest(x: Any, stack: Any, axis: int) -> Any:
    """The entries of a stack at the places of the largest entries of `x`.

    Args:
        x: the rows.
        stack: of their shape, or with more axes in front.
        axis: along which the rows lie in `x`.
    """
    chosen = jnp.where(_places(x, axis), stack, jnp.zeros((), stack.dtype))
    return jnp.sum(chosen, axis=axis - x.ndim)


def less_largest(x: Any, stack: Any, axis: int) -> Any:
    """A stack less its entries at the places of the largest entries of `x`, there 0."""
    relative = stack - jnp.expand_dims(largest(x, stack, axis), axis - x.ndim)
    return jnp.where(_places(x, axis), jnp.zeros((), stack.dtype), relative)


def shifted(x: Any, shift: Any, axis: int) -> Any:
    """`x` less its largest entries, or less a shift where they are infinite."""
    highest = jnp.expand_dims(largest(x, x, axis), axis)
    finite = jnp.isfinite(highest)
    relative = x - jnp.where(finite, highest, jax.lax.stop_gradient(shift))
    return jnp.where(_places(x, axis) & finite, jnp.zeros((), x.dtype), relative)
