"""Where TensorFlow's own second derivatives are wrong or missing, and what replaces them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Formula = Callable[..., tf.Tensor]
"""From an op of a traced graph and its new inputs to the op's value, in ops that TensorFlow
can differentiate any number of times, in any float dtype."""


def is_stopped_mean_of_moments(op: tf.Operation) -> bool:
    """Whether `op` is the `stop_gradient` inside `tf.nn.moments`.

    The variance there is `mean(squared_difference(y, stop_gradient(mean(y))))`. Stopping
    the gradient leaves the first derivative right, since the deviations sum to zero, and
    the second one wrong: it misses the derivative of the mean. LayerNormalization,
    GroupNormalization and `keras.ops.moments` are built on it. A `stop_gradient` in any
    other place is somebody's intention and is not touched.
    """
    if op.type != "StopGradient" or op.inputs[0].op.type != "Mean":
        return False
    mean = op.inputs[0].op
    consumers = op.outputs[0].consumers()
    return bool(consumers) and all(_is_spread_about(mean, use) for use in consumers)


def _is_spread_about(mean: tf.Operation, op: tf.Operation) -> bool:
    """Whether `op` is `(y - mean(y))**2`, only ever averaged over the axes of `mean`."""
    values = mean.inputs[0]
    return (
        op.type == "SquaredDifference"
        and any(x is values for x in op.inputs)
        and all(_same_axes(mean, use) for use in op.outputs[0].consumers())
    )


def _same_axes(mean: tf.Operation, other: tf.Operation) -> bool:
    if other.type != "Mean":
        return False
    axes = [tf.get_static_value(op.inputs[1]) for op in (mean, other)]
    return mean.inputs[1] is other.inputs[1] or (
        all(a is not None for a in axes) and np.array_equal(*axes)
    )


def _softsign(op: tf.Operation, features: tf.Tensor) -> tf.Tensor:
    return features / (1 + tf.abs(features))


def _resized(op: tf.Operation, images: tf.Tensor, size: tf.Tensor, *where: tf.Tensor) -> tf.Tensor:
    """Any image resizing: linear, and acting on rows and columns one after the other.

    So it is two matrices, which resizing the unit vectors gives.
    """
    rows = _resizing_matrix(op, 0, size, where)
    columns = _resizing_matrix(op, 1, size, where)
    floats = images if images.dtype == tf.float64 else tf.cast(images, tf.float32)
    rows, columns = (tf.cast(matrix, floats.dtype) for matrix in (rows, columns))
    return tf.einsum("nhwc,ih,jw->nijc", floats, rows, columns)


def _resizing_matrix(
    op: tf.Operation, axis: int, size: tf.Tensor, where: tuple[tf.Tensor, ...]
) -> tf.Tensor:
    """What the op does along one axis: `(new size, old size)`."""
    old = int(op.inputs[0].shape[1 + axis])
    given = {
        "images": tf.eye(old)[None, :, :, None],
        "size": tf.stack([size[axis], tf.constant(old)]),
    }
    if where:  # ScaleAndTranslate: leave the other axis alone
        scale, translation = (tf.cast(tensor, tf.float32) for tensor in where)
        given["scale"] = tf.stack([scale[axis], tf.ones_like(scale[axis])])
        given["translation"] = tf.stack([translation[axis], tf.zeros_like(translation[axis])])
    inputs = {"T", *(argument.name for argument in op.op_def.input_arg)}
    options = {a.name: op.get_attr(a.name) for a in op.op_def.attr if a.name not in inputs}
    return getattr(tf.raw_ops, op.type)(**given, **options)[0, :, :, 0]


def _hsv_to_rgb(op: tf.Operation, images: tf.Tensor) -> tf.Tensor:
    """Each of red, green and blue is full, or missing, within a sixth of its own hue."""
    hue, saturation, value = tf.split(images, 3, axis=-1)
    away = tf.abs(6 * hue - tf.constant([3, 2, 4], images.dtype))
    share = tf.clip_by_value(away * [1, -1, -1] + [-1, 2, 2], 0, 1)
    return value * (1 - saturation + saturation * share)


def _local_response_normalization(op: tf.Operation, x: tf.Tensor) -> tf.Tensor:
    radius = op.get_attr("depth_radius")
    bias, alpha, beta = (tf.cast(op.get_attr(name), x.dtype) for name in ("bias", "alpha", "beta"))
    channels = np.arange(int(op.inputs[0].shape[-1]))
    near = np.abs(channels[:, None] - channels) <= radius
    total = tf.tensordot(tf.square(x), tf.constant(near, x.dtype), 1)
    return x / (bias + alpha * total) ** beta


def _cross_entropy(op: tf.Operation, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return -tf.reduce_sum(labels * tf.nn.log_softmax(logits), axis=-1)


def _max_pooled(op: tf.Operation, x: tf.Tensor) -> tf.Tensor:
    return _pooled(op, x, tf.maximum, x.dtype.min)


def _average_pooled(op: tf.Operation, x: tf.Tensor) -> tf.Tensor:
    """The padding does not count."""
    return _pooled(op, x, tf.add, 0) / _pooled(op, tf.ones_like(x), tf.add, 0)


def _pooled(
    op: tf.Operation,
    x: tf.Tensor,
    combine: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    padded: float,
) -> tf.Tensor:
    """Pooling by combining shifted slices, along one axis after the other."""
    padding = op.get_attr("padding")
    for axis, (size, stride) in enumerate(
        zip(op.get_attr("ksize"), op.get_attr("strides"), strict=True)
    ):
        if size == stride == 1:
            continue
        length = x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]
        before, after = 0, 0
        if padding == b"SAME":
            missing = tf.maximum(((length - 1) // stride) * stride + size - length, 0)
            before, after = missing // 2, missing - missing // 2
        elif padding == b"EXPLICIT":
            before, after = op.get_attr("explicit_paddings")[2 * axis : 2 * axis + 2]
        around = [(before, after) if i == axis else (0, 0) for i in range(x.shape.rank)]
        x = tf.pad(x, around, constant_values=padded)
        reach = (length + before + after - size) // stride * stride + 1
        slices = [
            x[(slice(None),) * axis + (slice(shift, shift + reach, stride),)]
            for shift in range(size)
        ]
        x = functools.reduce(combine, slices)
    return x


def _dynamic_update(
    op: tf.Operation, x: tf.Tensor, update: tf.Tensor, start: tf.Tensor
) -> tf.Tensor:
    room = tf.shape(x) - tf.shape(update)
    start = tf.clip_by_value(tf.cast(start, tf.int32), 0, room)  # as XLA does
    around = tf.stack([start, room - start], axis=1)
    untouched = tf.pad(tf.zeros_like(update), around, constant_values=1)
    return x * untouched + tf.pad(update, around)


def _counted(op: tf.Operation, x: tf.Tensor, size: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    hits = tf.one_hot(x, size, dtype=weights.dtype)
    if op.get_attr("binary_output"):
        return tf.reduce_max(hits, axis=-2)
    return tf.reduce_sum(hits * weights[..., None], axis=-2)


def _fake_quantised(op: tf.Operation, x: tf.Tensor, *ends: tf.Tensor) -> tf.Tensor:
    """One of the steps, with the derivatives of `x` cut off at the ends of the range.

    The range is moved a little, so that 0 is one of the steps: by how much, rounding in float32
    may decide, in which the op computes.
    """
    if not ends:
        ends = tuple(tf.constant(op.get_attr(name), x.dtype) for name in ("min", "max"))
    first, last = int(op.get_attr("narrow_range")), 2 ** op.get_attr("num_bits") - 1
    low, high = (tf.cast(end, tf.float32) for end in ends)
    step = (high - low) / (last - first)
    zero = tf.clip_by_value(tf.floor(first - low / step + 0.5), first, last)
    step, zero = tf.cast(step, x.dtype), tf.cast(zero, x.dtype)
    low, high = (
        _straight_through((place - zero) * step, end)
        for place, end in zip((first, last), ends, strict=True)
    )
    inside = tf.minimum(tf.maximum(x, low), high)
    return _straight_through(tf.floor((inside - low) / step + 0.5) * step + low, inside)


def _straight_through(value: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """A value with the derivatives of another."""
    return x + tf.stop_gradient(value - x)


SUPPLIED: dict[str, Formula] = {
    "AvgPool3D": _average_pooled,  # does not exist in float64
    "DenseBincount": _counted,  # has no derivative
    # Their gradients count as constants: silently wrong.
    "FakeQuantWithMinMaxArgs": _fake_quantised,
    "FakeQuantWithMinMaxVars": _fake_quantised,
    "FakeQuantWithMinMaxVarsPerChannel": _fake_quantised,
    "HSVToRGB": _hsv_to_rgb,  # has no derivative
    "LRN": _local_response_normalization,  # LRNGrad has no derivative
    # A compiled graph can lose its second derivative: silently 0, and not every time.
    "MaxPool": _max_pooled,
    "MaxPool3D": _max_pooled,  # as MaxPool, and none in float64
    "ResizeArea": _resized,
    "ResizeBicubic": _resized,  # ResizeBicubicGrad has no derivative
    "ResizeBilinear": _resized,  # ResizeBilinearGrad counts as constant: silently wrong
    "ResizeNearestNeighbor": _resized,  # ResizeNearestNeighborGrad has no derivative
    "ScaleAndTranslate": _resized,  # ScaleAndTranslateGrad has no derivative
    # Its second derivative misses that the first one depends on the labels: silently wrong
    # where they depend on the input.
    "SoftmaxCrossEntropyWithLogits": _cross_entropy,
    "Softsign": _softsign,  # SoftsignGrad has no derivative
    "XlaDynamicUpdateSlice": _dynamic_update,  # has no derivative
}
"""Op type -> a formula for its first output, whose derivatives replace TensorFlow's."""


def with_derivatives_of(
    formula: Callable[..., tf.Tensor], value: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """A function with the value of one and the derivatives of another function.

    Args:
        formula: gives the derivatives.
        value: gives the value: TensorFlow's own op, so that not a bit of it changes.
    """

    @tf.custom_gradient
    def both(*inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[Any]]]:
        def gradient(upstream: tf.Tensor) -> list[Any]:
            with tf.GradientTape(persistent=True) as tape:
                tape.watch([x for x in inputs if x.dtype.is_floating])
                y = formula(*inputs)
            seed = tf.cast(upstream, y.dtype)
            return [tape.gradient(y, x, seed) if x.dtype.is_floating else None for x in inputs]

        return value(*inputs), gradient

    return both
