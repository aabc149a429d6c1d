"""Which ops leave every example where it is: alone, in order, along the first axis."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from keras_curvature.engines.taylor.registry import Keeps
from keras_curvature.engines.tensorflow.graph_ops import static_value


def beyond(axes: int) -> Keeps:
    """Ops on the last `axes` axes: if there are more than those."""
    return lambda op: op.inputs[0].shape.rank is not None and op.inputs[0].shape.rank > axes


def along(argument: int, operand: int = 0) -> Keeps:
    """Ops along the axes in an argument: if the first is not among them."""

    def keeps(op: tf.Operation) -> bool:
        axes = axis_list(op.inputs[argument], op.inputs[operand].shape.rank)
        return axes is not None and 0 not in axes

    return keeps


def along_attribute(op: tf.Operation) -> bool:
    """`Pack` and `Unpack`, which keep their axis among the attributes."""
    rank = max(tensor.shape.rank or 0 for tensor in (*op.inputs, *op.outputs))
    return rank > 0 and op.get_attr("axis") % rank != 0


def axis_list(axes: tf.Tensor, rank: int | None) -> list[int] | None:
    """Axes of a traced op as non-negative numbers, where they are known before it runs."""
    known = static_value(axes)
    return None if known is None or not rank else [int(a) % rank for a in np.ravel(known)]


def reshape(op: tf.Operation) -> bool:
    """If each example keeps its numbers."""
    return example_stays(op.inputs[0].shape, op.outputs[0].shape)


def example_stays(old: tf.TensorShape, new: tf.TensorShape) -> bool:
    """Whether a reshape keeps the first axis for itself."""
    if not old.rank or not new.rank or None in [*old[1:], *new[1:]]:
        return False
    return math.prod(old[1:]) == math.prod(new[1:])


def transposition(op: tf.Operation) -> bool:
    """If the first axis stays the first."""
    order = static_value(op.inputs[1])
    return order is not None and len(order) > 0 and order[0] == 0


def broadcast(op: tf.Operation) -> bool:
    """If no axis comes in front."""
    return op.inputs[0].shape.rank == op.outputs[0].shape.rank


def tile(op: tf.Operation) -> bool:
    """If the batch is there once."""
    times = static_value(op.inputs[1])
    return times is not None and len(times) > 0 and times[0] == 1


def padding(op: tf.Operation) -> bool:
    """If nothing is added along the first axis."""
    paddings = static_value(op.inputs[1])
    return paddings is not None and not paddings[0].any()


def slice_(op: tf.Operation) -> bool:
    """`Slice`, if it takes the whole first axis."""
    begin, size = static_value(op.inputs[1]), static_value(op.inputs[2])
    return begin is not None and size is not None and (begin[0], size[0]) == (0, -1)


def strided_slice(op: tf.Operation) -> bool:
    """`StridedSlice`, if it takes the whole first axis."""
    if op.get_attr("ellipsis_mask") & 1:
        return op.inputs[1].shape[0] <= op.inputs[0].shape.rank
    untouched = op.get_attr("begin_mask") & op.get_attr("end_mask") & 1
    changed = (op.get_attr("new_axis_mask") | op.get_attr("shrink_axis_mask")) & 1
    strides = static_value(op.inputs[3])
    return bool(untouched and not changed and strides is not None and strides[0] == 1)


def einsum(op: tf.Operation) -> bool:
    """If the axis of the examples leads in the result and in whatever has examples."""
    operands, output = op.get_attr("equation").decode().split("->")
    return all(
        part[:1] == output[:1]
        for part, x in zip(operands.split(","), op.inputs, strict=True)
        if x.shape.rank and x.shape[0] is None
    )
