"""Linear ops whose arguments name axes: on a stack every axis is one further back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.jets import sizes, spread, stretch
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import identity, linear
from keras_curvature.engines.tensorflow.graph_ops import static_value
from keras_curvature.engines.tensorflow.taylor.batch_axis import axis_list, example_stays
from keras_curvature.engines.tensorflow.taylor.batch_axis import (
    transposition as batch_transposition,
)


def behind(axes: Any, rank: int) -> tf.Tensor:
    """Axes of a tensor as axes of its stack."""
    axes = tf.convert_to_tensor(axes)
    known = tf.get_static_value(axes)
    if known is not None:  # XLA asks for constants in the gradient of a loop, and folds nothing
        return tf.constant(known % rank + 1, axes.dtype)
    return tf.where(axes < 0, axes + rank, axes) + 1


def reshaped(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`Reshape` and all that comes down to it: `ExpandDims`, `Squeeze`."""
    x, y = step.inputs[0], step.outputs[0]
    if example_stays(x.shape, y.shape):
        first = -1 if stack.shape[1] is None else stack.shape[1]
        return tf.reshape(stack, [stack.shape[0], first, *y.shape[1:]])
    whole = spread(stack, x)
    if None in y.shape.as_list():
        return tf.reshape(whole, tf.concat([[stack.shape[0]], tf.shape(y)], axis=0))
    return tf.reshape(whole, [stack.shape[0], *y.shape])


def _transposed(step: Step, stack: tf.Tensor) -> tf.Tensor:
    order = behind(step.inputs[1], step.inputs[0].shape.rank)
    return step.with_operand_and(stack, _in_front(0, order))


def transposition() -> Rule:
    """`Transpose`, which often moves nothing."""
    plain, still = linear(_transposed, batch_transposition), identity()

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        order = static_value(step.op.inputs[1])
        stays = order is not None and list(order) == sorted(order)
        return (still if stays else plain).propagate(step, jets, mode)

    return replace(plain, propagate=propagate)


def broadcast(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`BroadcastTo`."""
    return stretch(spread(stack, step.inputs[0]), step.outputs[0])


def tiled(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`Tile`."""
    return step.with_operand_and(stack, _in_front(1, step.inputs[1]))


def sliced(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`Slice`."""
    return step.again([stack, _in_front(0, step.inputs[1]), _in_front(-1, step.inputs[2])])[0]


def strided(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`StridedSlice`: masks have one bit per axis."""

    def mask(name: str) -> int:
        return step.op.get_attr(name) << 1

    _, begin, end, strides = step.inputs
    return tf.raw_ops.StridedSlice(
        input=stack,
        begin=_in_front(0, begin),
        end=_in_front(0, end),
        strides=_in_front(1, strides),
        begin_mask=mask("begin_mask") | 1,
        end_mask=mask("end_mask") | 1,
        ellipsis_mask=mask("ellipsis_mask"),
        new_axis_mask=mask("new_axis_mask"),
        shrink_axis_mask=mask("shrink_axis_mask"),
    )


def padded(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`Pad`, `MirrorPad`, and `PadV2`, whose constant has no derivative."""
    paddings = tf.pad(step.inputs[1], [[1, 0], [0, 0]])
    if step.op.type == "PadV2":
        return tf.pad(stack, paddings)
    return step.with_operand_and(stack, paddings)


def filled_with_0(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`MatrixDiag` and `MatrixDiagPart`, whose number for empty places has no derivative."""
    return step.again([stack, *step.inputs[1:-1], tf.zeros([], stack.dtype)])[0]


def gathered(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`GatherV2` from a table that depends on the point."""
    table, indices, _ = step.inputs
    axes = axis_list(step.op.inputs[2], table.shape.rank)
    if axes is None:
        raise NotImplementedError("GatherV2 along an axis that is not known")
    batch = step.op.get_attr("batch_dims")
    batch = batch + indices.shape.rank if batch < 0 else batch
    if batch == 0:
        return tf.gather(stack, indices, axis=axes[0] + 1)
    many = tf.broadcast_to(indices[None], [stack.shape[0], *sizes(indices)])
    return tf.gather(spread(stack, table), many, axis=axes[0] + 1, batch_dims=batch + 1)


def rolled(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`Roll`."""
    x, shift, axis = step.inputs
    return step.again([stack, shift, behind(axis, x.shape.rank)])[0]


def along_axis(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`Cumsum`, `ReverseV2`: the axis is the second argument."""
    return step.with_operand_and(stack, behind(step.inputs[1], step.inputs[0].shape.rank))


def concatenated(step: Step, stacks: list[tf.Tensor]) -> tf.Tensor:
    """`ConcatV2`: the axis comes last."""
    axis = behind(step.inputs[-1], step.outputs[0].shape.rank)
    return tf.raw_ops.ConcatV2(values=stacks, axis=axis)


def packed(step: Step, stacks: list[tf.Tensor]) -> tf.Tensor:
    """`Pack`."""
    rank = step.outputs[0].shape.rank
    return tf.stack(stacks, axis=step.op.get_attr("axis") % rank + 1)


def unpacked(step: Step, stack: tf.Tensor) -> Sequence[tf.Tensor]:
    """`Unpack`."""
    axis = step.op.get_attr("axis") % step.inputs[0].shape.rank + 1
    return tf.unstack(stack, num=len(step.outputs), axis=axis)


def split(step: Step, stack: tf.Tensor) -> Sequence[tf.Tensor]:
    """`Split`: the axis comes first."""
    axis, x = step.inputs
    return tf.raw_ops.Split(
        axis=behind(axis, x.shape.rank), value=stack, num_split=len(step.outputs)
    )


def split_unevenly(step: Step, stack: tf.Tensor) -> Sequence[tf.Tensor]:
    """`SplitV`: the axis comes last."""
    x, lengths, axis = step.inputs
    return tf.raw_ops.SplitV(
        value=stack,
        size_splits=lengths,
        axis=behind(axis, x.shape.rank),
        num_split=len(step.outputs),
    )


def _in_front(number: int, numbers: tf.Tensor) -> tf.Tensor:
    known = tf.get_static_value(numbers)
    if known is not None:  # as in `behind`
        return tf.constant([number, *known], numbers.dtype)
    return tf.concat([tf.constant([number], numbers.dtype), numbers], axis=0)
