"""Runs a flat program, in a wider dtype than it was traced in where one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from keras.src.backend.torch.core import get_device

from keras_curvature.engines.programs.program import Instruction, Operation, Program, Slot
from keras_curvature.engines.programs.unselected_values import held
from keras_curvature.engines.torch.arrays import widened
from keras_curvature.engines.torch.autograd_functions import written
from keras_curvature.engines.torch.calls import Written
from keras_curvature.engines.torch.gradient_overrides import OVERRIDES

FROM_INTEGERS = {
    *("acos", "asin", "atan", "atan2", "cos", "cosh", "div", "erf", "exp", "expm1", "log", "log1p"),
    *("log2", "log10", "mean", "pow", "reciprocal", "rsqrt", "sigmoid", "sin", "sinh", "sqrt"),
    *("tan", "tanh"),
}
"""What makes floats of whole numbers, which PyTorch does in float32 unless it is told."""

Values = dict[Slot, Any]


def run(
    program: Program,
    given: Mapping[Slot, Any],
    fetches: Sequence[Any],
    dtype: Any,
    *,
    mended: bool = True,
) -> list[Any]:
    """What `fetches` are where `given` are known.

    Args:
        program: it is part of.
        given: by slot.
        fetches: slots, or constants.
        dtype: narrower floats become this one.
        mended: whether derivatives are mended and narrower floats widened.
    """
    needed = program.needed(fetches, given)
    values = run_through(needed, given, dtype) if mended else run_as_written(needed, given)
    return [read(fetch, values, dtype) for fetch in fetches]


def run_through(
    instructions: Iterable[Instruction],
    given: Mapping[Slot, Any],
    dtype: Any,
    added: Mapping[Slot, Any] | None = None,
) -> Values:
    """The values of all slots that some instructions write, and of those that are given.

    Args:
        instructions: in order.
        given: by slot.
        dtype: narrower floats become this one.
        added: to the values of some slots where they are written.
    """
    values: Values = dict(given)
    for instruction in instructions:
        inputs = [read(x, values, dtype) for x in instruction.inputs]
        if instruction.guard is not None:
            inputs = held(instruction, inputs, values)
        outputs = emit(instruction.operation, inputs, dtype)
        for slot, output in zip(instruction.outputs, outputs, strict=True):
            values[slot] = output + added[slot] if added and slot in added else output
    return values


def run_as_written(instructions: Iterable[Instruction], given: Mapping[Slot, Any]) -> Values:
    """The same as PyTorch itself does it, with its own derivatives."""
    values: Values = dict(given)
    for instruction in instructions:
        primitive = instruction.operation.primitive
        inputs = [values[x] if isinstance(x, Slot) else x for x in instruction.inputs]
        if isinstance(primitive, Written):
            outputs = written(primitive, inputs, None, run_as_written_for)
        else:
            outputs = primitive.run(inputs)
        values.update(zip(instruction.outputs, outputs, strict=True))
    return values


def run_as_written_for(
    instructions: Iterable[Instruction], given: Mapping[Slot, Any], dtype: Any
) -> Values:
    """The same, called as `run_through` is."""
    return run_as_written(instructions, given)


def read(source: Any, values: Values, dtype: Any) -> Any:
    """The value of a slot, or a constant in the dtype of the evaluation."""
    if isinstance(source, Slot):
        return values[source]
    if isinstance(source, torch.Tensor):
        place = "meta" if get_device() == "meta" else source.device  # where Keras looks for shapes
        return source.to(place, widened(source.dtype, dtype))
    return source


def emit(operation: Operation, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    """The results of one operation on other inputs."""
    primitive, results = operation.primitive, operation.results
    if isinstance(primitive, Written):
        return written(primitive, inputs, dtype, run_through)
    is_float = bool(results) and results[0].dtype.is_floating_point
    if is_float:
        override = OVERRIDES.get(operation.type)
        if override is not None and not operation.is_complex:
            return [override(operation.params, *inputs)]
        if operation.type in FROM_INTEGERS and not _has_floats(inputs):
            wide = widened(results[0].dtype, dtype)
            inputs = [x.to(wide) if isinstance(x, torch.Tensor) else x for x in inputs]
    outputs: list[Any] = primitive.run(inputs, dtype)
    if is_float and dtype is not None:
        outputs = [_wide(y, dtype) for y in outputs]
    return outputs


def _wide(y: torch.Tensor, dtype: Any) -> torch.Tensor:
    """In the dtype of the evaluation: PyTorch makes float32 of what says no dtype."""
    wide = widened(y.dtype, dtype)
    return y if y.dtype == wide else y.to(wide)


def _has_floats(inputs: Sequence[Any]) -> bool:
    tensors = (x for x in inputs if isinstance(x, torch.Tensor))
    return any(x.is_floating_point() or x.is_complex() for x in tensors)
