"""Which of JAX's primitives keep the examples along the first axis, in order."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from keras_curvature.engines.jax import less_largest
from keras_curvature.engines.programs.program import Operation


def _product_keeps(operation: Operation, reached: Collection[int]) -> bool:
    (left, _), (one, other) = operation.params["dimension_numbers"]
    if one:
        return one[0] == 0 and other[0] == 0
    return 0 not in left and 1 not in reached


def _axis_apart(name: str) -> Any:
    def test(operation: Operation, reached: Collection[int]) -> bool:
        axes = operation.params[name]
        return 0 not in (axes if isinstance(axes, (tuple, list)) else (axes,))

    return test


def _whole_slice(operation: Operation, reached: Collection[int]) -> bool:
    p = operation.params
    strides = p["strides"] or (1,)
    return p["start_indices"][0] == 0 and strides[0] == 1


def _gather_keeps(operation: Operation, reached: Collection[int]) -> bool:
    numbers = operation.params["dimension_numbers"]
    size = operation.params["slice_sizes"][0]
    whole = size == operation.avals[0].shape[0] and 0 not in numbers.start_index_map
    return bool(whole and numbers.offset_dims[:1] == (0,) and 0 not in numbers.collapsed_slice_dims)


def _never(operation: Operation, reached: Collection[int]) -> bool:
    return False


def _window_keeps(operation: Operation, reached: Collection[int]) -> bool:
    return bool(operation.params["window_dimensions"][0] == 1)


KEEPING = {
    "broadcast_in_dim": lambda op, reached: op.params["broadcast_dimensions"][:1] == (0,),
    "concatenate": _axis_apart("dimension"),
    "conv_general_dilated": lambda op, reached: (
        op.params["dimension_numbers"].lhs_spec[0] == 0
        and op.params["dimension_numbers"].out_spec[0] == 0
        and op.params["batch_group_count"] == 1
        and 1 not in reached
    ),
    "cumlogsumexp": _axis_apart("axis"),
    "cummax": _axis_apart("axis"),
    "cummin": _axis_apart("axis"),
    "cumprod": _axis_apart("axis"),
    "cumsum": _axis_apart("axis"),
    "dot_general": _product_keeps,
    "dynamic_slice": _never,
    "dynamic_update_slice": _never,
    "fft": lambda op, reached: len(op.params["fft_lengths"]) < len(op.avals[0].shape),
    "gather": _gather_keeps,
    less_largest.LARGEST: lambda op, reached: op.params["axis"] != 0,
    less_largest.LESS_LARGEST: lambda op, reached: op.params["axis"] != 0,
    "pad": lambda op, reached: op.params["padding_config"][0] == (0, 0, 0),
    "reduce_max": _axis_apart("axes"),
    "reduce_min": _axis_apart("axes"),
    "reduce_sum": _axis_apart("axes"),
    "reduce_window_max": _window_keeps,
    "reduce_window_min": _window_keeps,
    "reduce_window_sum": _window_keeps,
    "rev": _axis_apart("dimensions"),
    "scan": _never,
    "scatter": _never,
    "scatter-add": _never,
    "slice": _whole_slice,
    "sort": _axis_apart("dimension"),
    "transpose": lambda op, reached: op.params["permutation"][0] == 0,
}
"""From an operation and the inputs that depend on the point to whether the examples stay."""
