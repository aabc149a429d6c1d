"""Where TensorFlow's own derivatives are wrong, missing or lost, and what replaces them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines import determinants, elementary, multiplying
from keras_curvature.engines import tensorflow_private as private
from keras_curvature.engines.traced_ops import has_custom_gradient

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


SUPPLIED: dict[str, Formula] = {
    "AvgPool3D": _average_pooled,  # does not exist in float64
    "DenseBincount": _counted,  # has no derivative
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


def _elementary(function: Callable[..., tf.Tensor]) -> Formula:
    return lambda op, *inputs: function(*inputs)


REFINED: dict[str, Formula] = {
    # where digits are lost: in tails, beside poles that cancel
    "BesselI0": _elementary(elementary.bessel_i0),
    "BesselI1": _elementary(elementary.bessel_i1),
    "BesselJ0": _elementary(elementary.bessel_j0),
    "BesselJ1": _elementary(elementary.bessel_j1),
    "Elu": _elementary(elementary.elu),
    "Expm1": _elementary(elementary.expm1),
    "Selu": _elementary(elementary.selu),
    "Sigmoid": _elementary(elementary.sigmoid),
    "Softplus": _elementary(elementary.softplus),
    "Spence": _elementary(elementary.spence),
    "Swish": lambda op, value, x, beta: elementary.silu(x, beta),
    "Tanh": _elementary(elementary.tanh),
    "sin(x)/x": lambda op, sine, x: elementary.sine_over(x),
    # where 0 meets infinity, or a factor is 0
    "Cumprod": multiplying.cumulative_product,
    "CumulativeLogsumexp": multiplying.cumulative_logsumexp,
    "MatrixDeterminant": determinants.determinant,
    "Pow": _elementary(elementary.power),
    "Prod": multiplying.product,
    "SegmentProd": multiplying.product_in_segments,
    "UnsortedSegmentProd": multiplying.product_in_segments,
    "Xdivy": _elementary(elementary.over),
    "Xlog1py": _elementary(elementary.times_log1p),
    "Xlogy": _elementary(elementary.times_log),
    # where branches meet
    "Abs": _elementary(elementary.absolute),
    "Minimum": _elementary(elementary.minimum),
    "sinc(x)": lambda op, condition, filled, quotient: tf.identity(quotient),
}
"""Kind of op -> a formula for its first output, right also at those points where TensorFlow's
derivatives are not."""

GUARDED: dict[str, Callable[..., list[tf.Tensor]]] = {
    "LogMatrixDeterminant": determinants.log_determinant,
    "MatrixInverse": determinants.inverse,
    "MatrixSolve": determinants.solution,
}
"""Op type -> all its outputs, NaN at the examples for which TensorFlow would fail for all."""


def formula_for(op: tf.Operation) -> Formula | None:
    """The formula whose derivatives replace TensorFlow's for an op of a traced graph."""
    if any(tensor.dtype.is_complex for tensor in op.inputs):
        return None  # they are written in real numbers
    name = kind(op)
    return SUPPLIED.get(name) or REFINED.get(name)


def kind(op: tf.Operation) -> str:
    """The type of an op, or the function that it is the last op of, if that is known."""
    if has_custom_gradient(op):
        return "Swish" if _is_silu(op) else op.type
    if op.type == "RealDiv" and _is_sine_over_argument(op):
        return "sin(x)/x"
    if op.type == "SelectV2" and _is_filled_sinc(op):
        return "sinc(x)"
    return op.type


def _is_silu(op: tf.Operation) -> bool:
    try:
        gradient = private.registered_gradient(op.get_attr("_gradient_op_type").decode())
    except LookupError:  # read from a file, where only the ops are left
        return False
    return gradient is not None and private.is_gradient_of_silu(gradient)


def _is_sine_over_argument(op: tf.Operation) -> bool:
    sine, x = op.inputs
    return sine.op.type == "Sin" and sine.op.inputs[0] is x


def _is_filled_sinc(op: tf.Operation) -> bool:
    """Whether `op` is the `where(x == 0, 1, sin(c x) / (c x))` of `keras.ops.sinc` and NumPy's."""
    condition, filled, quotient = op.inputs
    if condition.op.type != "Equal" or quotient.op.type != "RealDiv":
        return False
    if not _is_sine_over_argument(quotient.op):
        return False
    x, argument = condition.op.inputs[0], quotient.op.inputs[1].op
    scales = [_everywhere(t) for t in argument.inputs] if argument.type == "Mul" else []
    return (
        _everywhere(condition.op.inputs[1]) == 0
        and _everywhere(filled) == 1
        and any(tensor is x for tensor in argument.inputs)
        and any(scale for scale in scales)
    )


def _everywhere(tensor: tf.Tensor) -> float | None:
    """The number that a constant tensor of any shape has in all its entries, if it has one."""
    if tensor.op.type in ("OnesLike", "ZerosLike"):
        return float(tensor.op.type == "OnesLike")
    if tensor.op.type in ("Fill", "Cast"):
        return _everywhere(tensor.op.inputs[tensor.op.type == "Fill"])
    value = tf.get_static_value(tensor)
    if value is None or not value.size or (value != value.flat[0]).any():
        return None
    return float(value.flat[0])


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
            apart = [tf.identity(x) for x in inputs]  # one tensor may be two of them
            with tf.GradientTape(persistent=True) as tape:
                tape.watch([x for x in apart if x.dtype.is_floating])
                y = formula(*apart)
            seed = tf.cast(upstream, y.dtype)
            return [tape.gradient(y, x, seed) if x.dtype.is_floating else None for x in apart]

        return value(*inputs), gradient

    return both
