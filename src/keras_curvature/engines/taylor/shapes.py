"""Linear ops whose arguments name axes: on a stack every axis is one further back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.batch import axis_list, beyond, example_stays
from keras_curvature.engines.taylor.batch import transposition as batch_transposition
from keras_curvature.engines.taylor.carriers import Carrier
from keras_curvature.engines.taylor.jets import sizes, spread, stretch
from keras_curvature.engines.taylor.kinds import identity, linear
from keras_curvature.engines.taylor.rules import Jets, Rule, Step
from keras_curvature.engines.tensorflow_private import inside_xla
from keras_curvature.engines.traced_ops import static_value


def behind(axes: Any, rank: int) -> tf.Tensor:
    """Axes of a tensor as axes of its stack."""
    axes = tf.convert_to_tensor(axes)
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
    return step.with_operand_and(stack, tf.concat([[0], order], axis=0))


def transposition() -> Rule:
    """`Transpose`, which often moves nothing."""
    plain, still = linear(_transposed, batch_transposition), identity()

    def propagate(step: Step, jets: Jets, carrier: Carrier) -> Jets:
        order = static_value(step.op.inputs[1])
        stays = order is not None and list(order) == sorted(order)
        return (still if stays else plain).propagate(step, jets, carrier)

    return Rule(propagate, plain.kind, plain.is_linear, plain.keeps_batch)


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


def gathered(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`GatherV2` from a table that depends on the point."""
    table, indices, _ = step.inputs
    axes = axis_list(step.op.inputs[2], table.shape.rank)
    if axes is None:
        raise NotImplementedError("GatherV2 along an axis that is not known")
    batch = step.op.get_attr("batch_dims")
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


def selected(step: Step, index: int, stack: tf.Tensor) -> tf.Tensor:
    """`SelectV2`: the branch that is taken hands its derivatives on."""
    condition, y = step.inputs[0], step.outputs[0]
    condition = _column_condition(step) if step.op.type == "Select" else condition
    whole = stretch(stack, y)
    nothing = tf.zeros([], stack.dtype)
    return tf.where(condition, *((whole, nothing) if index == 1 else (nothing, whole)))


def _column_condition(step: Step) -> tf.Tensor:
    """`Select`, the older op, may choose by a vector along the first axis."""
    condition, rank = step.inputs[0], step.outputs[0].shape.rank
    if condition.shape.rank != 1 or rank <= 1:
        return condition
    return tf.reshape(condition, [-1, *[1] * (rank - 1)])


def extreme(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`Max` and `Min`: ties share, as in TensorFlow's first derivative."""
    x, axes = step.inputs
    y = step.outputs[0]
    if not step.op.get_attr("keep_dims"):
        kept = tf.scatter_nd(
            tf.reshape(behind(axes, x.shape.rank) - 1, [-1, 1]),
            tf.ones_like(tf.reshape(axes, [-1])),
            [x.shape.rank],
        )
        y = tf.reshape(y, tf.where(kept > 0, 1, tf.shape(x)))
    chosen = tf.cast(tf.equal(x, y), x.dtype)
    share = chosen / tf.reduce_sum(chosen, axis=axes, keepdims=True)
    return tf.reduce_sum(
        share * stack,
        axis=behind(axes, x.shape.rank),
        keepdims=step.op.get_attr("keep_dims"),
    )


def _largest(step: Step, stack: tf.Tensor) -> tf.Tensor:
    indices = step.outputs[1]
    many = tf.broadcast_to(indices[None], [stack.shape[0], *sizes(indices)])
    return tf.gather(spread(stack, step.inputs[0]), many, axis=-1, batch_dims=stack.shape.rank - 1)


def largest_values() -> Rule:
    """`TopKV2`: values and places, along the last axis."""
    values = linear(_largest, beyond(1))

    def propagate(step: Step, jets: Jets, carrier: Carrier) -> Jets:
        return [*values.propagate(step, jets, carrier), None]

    return Rule(propagate, "piecewise linear", keeps_batch=beyond(1))


def pooled(step: Step, stack: tf.Tensor) -> tf.Tensor:
    """`MaxPool`: what was largest hands its derivatives on."""
    ksize, strides = (step.op.get_attr(name) for name in ("ksize", "strides"))
    padding = step.op.get_attr("padding").decode()
    if ksize == strides and padding == "VALID":
        return _pooled_apart(step, stack, ksize)
    if inside_xla() and None not in step.inputs[0].shape[1:]:
        return _pooled_by_offset(step, stack, ksize, strides, padding)
    _, where = tf.raw_ops.MaxPoolWithArgmax(
        input=step.inputs[0],
        ksize=ksize,
        strides=strides,
        padding=padding,
        include_batch_in_index=True,
    )
    flat = tf.reshape(spread(stack, step.inputs[0]), [stack.shape[0], -1])
    return tf.gather(flat, where, axis=1)


def _pooled_apart(step: Step, stack: tf.Tensor, ksize: Sequence[int]) -> tf.Tensor:
    """Windows that share no entry: one mask for all, twice to three times as fast as gathering."""
    x, y = step.inputs[0], step.outputs[0]
    window = {
        "ksize": ksize,
        "strides": ksize,
        "padding": "VALID",
        "data_format": step.op.get_attr("data_format").decode(),
    }
    largest = tf.raw_ops.MaxPoolGrad(orig_input=x, orig_output=y, grad=tf.ones_like(y), **window)
    stack = tf.where(largest > 0, spread(stack, x), tf.zeros((), stack.dtype))
    lined = tf.reshape(stack, [-1, *sizes(x)[1:]])
    mean = tf.raw_ops.AvgPool(value=lined, **window)
    return tf.reshape(mean * float(math.prod(ksize)), [stack.shape[0], *sizes(y)])


def _pooled_by_offset(
    step: Step, stack: tf.Tensor, ksize: Sequence[int], strides: Sequence[int], padding: str
) -> tf.Tensor:
    """Windows that overlap, for XLA, which cannot gather from them and fuses this.

    From each place within the windows in turn, unless a place before it held the largest.
    """
    x, y = step.inputs[0], step.outputs[0]
    stack, outside = spread(stack, x), [[0, 0]] * 4
    if padding == "SAME":
        missing = [
            max((y.shape[axis] - 1) * strides[axis] + ksize[axis] - x.shape[axis], 0)
            for axis in (1, 2, 3)
        ]
        outside = [[0, 0], *([n // 2, n - n // 2] for n in missing)]
    x = tf.pad(x, outside, constant_values=x.dtype.min)
    stack = tf.pad(stack, [[0, 0], *outside])
    ends = [(out - 1) * stride + 1 for out, stride in zip(y.shape[1:], strides[1:], strict=True)]
    free, found = tf.ones_like(y, tf.bool), tf.zeros((), stack.dtype)
    for offset in itertools.product(*(range(size) for size in ksize[1:])):
        place = tuple(
            slice(i, i + end, stride)
            for i, end, stride in zip(offset, ends, strides[1:], strict=True)
        )
        chosen = free & (x[(slice(None), *place)] == y)
        free &= ~chosen
        found += tf.where(chosen, stack[(slice(None), slice(None), *place)], 0)
    return found


def _in_front(number: int, numbers: tf.Tensor) -> tf.Tensor:
    return tf.concat([tf.constant([number], numbers.dtype), numbers], axis=0)
