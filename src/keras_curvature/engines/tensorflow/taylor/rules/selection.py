"""Ops that hand on what they choose: branches, extremes, the largest of a window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_curvature.engines.taylor.jets import Jet, sizes, spread, stretch
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import linear
from keras_curvature.engines.tensorflow.private import inside_xla
from keras_curvature.engines.tensorflow.taylor.batch_axis import beyond
from keras_curvature.engines.tensorflow.taylor.rules.shapes import behind


def selected(step: Step, index: int, stack: tf.Tensor) -> tf.Tensor:
    """`SelectV2`: the branch that is taken hands its derivatives on."""
    condition, y = step.inputs[0], step.outputs[0]
    condition = _column_condition(step) if step.op.type == "Select" else condition
    whole = stretch(stack, y)
    nothing = tf.zeros([], stack.dtype)
    return tf.where(condition, *((whole, nothing) if index == 1 else (nothing, whole)))


def filled_in() -> Rule:
    """`SelectV2` that puts the limit of its last input where that is 0 / 0, as in `sinc`."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        *_, jet = jets
        return [jet and Jet(step.outputs[0], jet.of)]

    return Rule(propagate)


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

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        return [*values.propagate(step, jets, mode), None]

    return Rule(propagate, keeps_batch=beyond(1))


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
        chosen = free & tf.equal(x[(slice(None), *place)], y)
        free &= ~chosen
        found += tf.where(chosen, stack[(slice(None), slice(None), *place)], 0)
    return found


def both_ends(x: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> list[tf.Tensor]:
    """What changes its sign where `ClipByValue` begins and ends to clip."""
    return [x - low, x - high]


def pairs(x: tf.Tensor, axes: tf.Tensor) -> list[tf.Tensor]:
    """The differences of all entries of which `Max` and `Min` choose one."""
    reduced = sorted({int(axis) % x.shape.rank for axis in np.ravel(axes)})
    kept = [axis for axis in range(x.shape.rank) if axis not in reduced]
    count = int(np.prod([x.shape[axis] for axis in reduced]))
    i, j = np.tril_indices(count, -1)
    entries = tf.reshape(tf.transpose(x, kept + reduced), [x.shape[0], -1, count])
    return [tf.gather(entries, i, axis=2) - tf.gather(entries, j, axis=2)]
