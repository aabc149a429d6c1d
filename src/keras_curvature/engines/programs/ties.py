"""Has the operations of a program that meet at a tie taken on one side of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_curvature.engines import ties
from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.programs.program import Instruction, Slot

selections = own_module("selections")

NAMES = {
    "_to_copy": "cast",
    "convert_element_type": "cast",
    "maximum": "max",
    "minimum": "min",
}
"""What is called otherwise here."""

PASSING = ("_to_copy", "broadcast_in_dim", "convert_element_type", "expand", "reshape")
"""What has the numbers of its first input."""


def on_one_side(
    instructions: Sequence[Instruction], negated: Callable[[Instruction], Instruction]
) -> list[Instruction]:
    """The instructions, with those turned that would be on another side than the others.

    `max` and `min` are turned by exchanging what they are given, `|x|` by `|-x|`.

    Args:
        instructions: in order.
        negated: makes the negative of what an operation is given.
    """
    writers = {slot: found for found in instructions for slot in found.outputs}
    turned = ties.on_the_other_side([_seen(found, writers) for found in instructions])
    result = []
    for instruction, is_turned in zip(instructions, turned, strict=True):
        if is_turned and instruction.operation.type == "abs":
            result.append(negated(instruction))
            result.append(replace(instruction, inputs=result[-1].outputs))
        else:
            result.append(_exchanged(instruction) if is_turned else instruction)
    return result


def _exchanged(instruction: Instruction) -> Instruction:
    operation = replace(instruction.operation, avals=instruction.operation.avals[::-1])
    return replace(instruction, operation=operation, inputs=instruction.inputs[::-1])


def _seen(instruction: Instruction, writers: Mapping[Any, Instruction]) -> ties.Operation:
    """What is looked at of an instruction."""
    operation, inputs = instruction.operation, instruction.inputs
    name = NAMES.get(operation.type, operation.type)
    is_number = bool(operation.results) and xp.has_derivative(operation.results[0].dtype)
    if name not in ties.COMPARISONS and (not is_number or operation.is_complex):
        return ties.Operation("")
    if name in ("max", "min") and len(inputs) != 2:  # over an axis
        return ties.Operation("")
    if operation.params.get("alpha", 1) != 1 or operation.params.get("rounding_mode"):
        return ties.Operation("")
    clipped = selections.clipped_at(instruction)
    return ties.Operation(
        name,
        tuple(_number(x, writers) for x in inputs),
        instruction.outputs[0].number if len(instruction.outputs) == 1 else None,
        tuple((_number(x, writers), _number(end, writers), side) for x, end, side in clipped),
    )


def _number(x: Any, writers: Mapping[Any, Instruction]) -> ties.Number:
    """The number of a slot, or that which a constant has in all its entries."""
    if isinstance(x, Slot):
        written = _written(writers[x], writers) if x in writers else None
        return x.number if written is None else written
    try:
        numbers = np.asarray(x, dtype="float64").ravel()
    except (TypeError, ValueError, RuntimeError):
        return None
    return float(numbers[0]) if numbers.size and (numbers == numbers[0]).all() else None


def _written(writer: Instruction, writers: Mapping[Any, Instruction]) -> float | None:
    """The number that a result has in all its entries, if it does not depend on anything."""
    kind, params = writer.operation.type, writer.operation.params
    if kind in PASSING and writer.inputs:
        found = _number(writer.inputs[0], writers)
        return found if isinstance(found, float) else None
    if kind in ("ones", "ones_like", "zeros", "zeros_like"):
        return float(kind.startswith("ones"))
    filled = params.get("fill_value") if kind in ("full", "full_like") else None
    return float(filled) if isinstance(filled, (int, float)) else None
