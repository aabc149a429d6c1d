"""Where TensorFlow's own derivatives are wrong, missing or lost, and what replaces them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines.tensorflow import (
    determinants,
    elementary_functions,
    products_with_zeros,
    softmax_functions,
)
from keras_curvature.engines.tensorflow.op_patterns import kind
from keras_curvature.engines.tensorflow.safe_custom_gradient import safe_custom_gradient

Formula = Callable[..., Any]
"""From an op of a traced graph and its new inputs to the op's first output, or a list of all of
`ALL_OUTPUTS`, in ops that TensorFlow can differentiate any number of times, in any float dtype."""


def _softsign(op: tf.Operation, features: tf.Tensor) -> tf.Tensor:
    return features / (1 + tf.abs(features))


def _resized(op: tf.Operation, images: tf.Tensor, size: tf.Tensor, *where: tf.Tensor) -> tf.Tensor:
    """Any image resizing: linear, and acting on rows and columns one after the other.

    So it is two matrices, which resizing the unit vectors gives.
    """
    floats = images if images.dtype == tf.float64 else tf.cast(images, tf.float32)
    rows, columns = _resizing_matrices(op, op.inputs[0], size, where, floats.dtype)
    return tf.einsum("nhwc,ih,jw->nijc", floats, rows, columns)


def _resized_back(
    op: tf.Operation, upstream: tf.Tensor, _: tf.Tensor, *where: tf.Tensor
) -> tf.Tensor:
    """The gradient of an image resizing: the same matrices, transposed."""
    size = tf.shape(upstream)[1:3]
    rows, columns = _resizing_matrices(op, op.outputs[0], size, where, upstream.dtype)
    return tf.einsum("nijc,ih,jw->nhwc", upstream, rows, columns)


def _resizing_matrices(
    op: tf.Operation, images: tf.Tensor, size: tf.Tensor, where: Sequence[tf.Tensor], dtype: Any
) -> list[tf.Tensor]:
    """What resizing such images does along each axis: `(new size, old size)`."""
    return [
        tf.cast(_resizing_matrix(op, axis, int(images.shape[1 + axis]), size, where), dtype)
        for axis in (0, 1)
    ]


def _resizing_matrix(
    op: tf.Operation, axis: int, old: int, size: tf.Tensor, where: Sequence[tf.Tensor]
) -> tf.Tensor:
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
    resize = getattr(tf.raw_ops, op.type.removesuffix("Grad"))
    return resize(**given, **options)[0, :, :, 0]


def _projected(
    op: tf.Operation,
    images: tf.Tensor,
    transforms: tf.Tensor,
    size: tf.Tensor,
    fill_value: tf.Tensor | float = 0.0,
) -> tf.Tensor:
    """Reads each pixel of the result where its transform leads to in the image."""
    floats = images if images.dtype == tf.float64 else tf.cast(images, tf.float32)
    known = op.outputs[0].shape[1:3].as_list()
    height, width = (size[i] if n is None else n for i, n in enumerate(known))
    down, along = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
    v, u = (tf.cast(tf.reshape(steps, [-1]), floats.dtype) for steps in (down, along))
    a = tf.unstack(tf.cast(transforms, floats.dtype)[:, :, None], num=8, axis=1)
    depth = a[6] * u + a[7] * v + 1
    finite = tf.not_equal(depth, 0)
    depth = tf.where(finite, depth, 1)
    mode, nearest = op.get_attr("fill_mode"), op.get_attr("interpolation") == b"NEAREST"
    # Beyond any image, so that it is filled.
    tall, wide = tf.unstack(tf.cast(tf.shape(images)[1:3], floats.dtype))
    x = tf.where(finite, _inside(mode, (a[0] * u + a[1] * v + a[2]) / depth, wide), -9)
    y = tf.where(finite, _inside(mode, (a[3] * u + a[4] * v + a[5]) / depth, tall), -9)
    total: Any = 0
    for row, row_weight in _neighbours(y, nearest):
        for column, column_weight in _neighbours(x, nearest):
            pixels = _read(floats, row, column, tf.cast(fill_value, floats.dtype))
            total += (row_weight * column_weight)[..., None] * pixels
    shape = [tf.shape(images)[0], height, width, images.shape[3]]
    return tf.cast(tf.reshape(total, shape), images.dtype)


def _inside(mode: bytes, place: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Where in an image of this length a place beyond its edges is read."""
    if mode == b"CONSTANT":
        return place
    last, period = length - 1, 2 * length
    if mode == b"REFLECT":
        before = place + period * tf.floor(-place / period)
        before = tf.where(before < -length, before + period, -before - 1)
        behind = place - period * tf.floor(place / period)
        behind = tf.where(behind >= length, period - behind - 1, behind)
    elif mode == b"WRAP":
        period = tf.maximum(last, 1)  # as TensorFlow does it
        before = place + length * (tf.floor(-place / period) + 1)
        behind = place - length * tf.floor(place / period)
    else:
        before = behind = place
    place = tf.where(place < 0, before, tf.where(place > last, behind, place))
    return tf.clip_by_value(place, 0, last)


def _neighbours(place: tf.Tensor, nearest: bool) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """The whole numbers around a place, and how much each of them counts."""
    if nearest:
        return [(tf.sign(place) * tf.floor(tf.abs(place) + 0.5), tf.ones_like(place))]
    below = tf.stop_gradient(tf.floor(place))
    return [(below, below + 1 - place), (below + 1, place - below)]


def _read(images: tf.Tensor, row: tf.Tensor, column: tf.Tensor, fill_value: tf.Tensor) -> tf.Tensor:
    """Pixels `(n, points, channels)` of images; `fill_value` where there is none."""
    height, width = tf.unstack(tf.shape(images)[1:3])
    row, column = tf.cast(row, tf.int32), tf.cast(column, tf.int32)
    there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = tf.where(there, row * width + column, 0)
    place = tf.broadcast_to(place, [tf.shape(images)[0], tf.shape(place)[1]])
    flat = tf.reshape(images, [tf.shape(images)[0], -1, images.shape[3]])
    pixels = tf.gather(flat, place, batch_dims=1)
    return tf.where(there[..., None], pixels, fill_value)


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


def _gradient_of(formula: Formula, argument: int, upstream: int) -> Formula:
    """An op that a model's own tape wrote: the gradient of another op by its formula.

    Args:
        formula: of the other op.
        argument: which input of the gradient is that of the formula.
        upstream: which is the upstream gradient.
    """

    def gradient(op: tf.Operation, *inputs: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(inputs[argument])
            y = formula(op, inputs[argument])
        return tape.gradient(y, inputs[argument], inputs[upstream])

    return gradient


def _of_inputs(function: Callable[..., Any]) -> Formula:
    """The formula of an op without attributes."""
    return lambda op, *inputs: function(*inputs)


OVERRIDES: dict[str, Formula] = {
    "AvgPool3D": _average_pooled,  # does not exist in float64
    "DenseBincount": _counted,  # has no derivative
    # Their gradients count as constants: silently wrong.
    "FakeQuantWithMinMaxArgs": _fake_quantised,
    "FakeQuantWithMinMaxVars": _fake_quantised,
    "FakeQuantWithMinMaxVarsPerChannel": _fake_quantised,
    "HSVToRGB": _hsv_to_rgb,  # has no derivative
    # Its gradient transforms back, which is not the transposed of bilinear interpolation, and is
    # 0 with respect to the transform: both silently wrong.
    "ImageProjectiveTransformV2": _projected,
    "ImageProjectiveTransformV3": _projected,
    "LRN": _local_response_normalization,  # LRNGrad has no derivative
    "LRNGrad": _gradient_of(_local_response_normalization, 1, 0),
    # A compiled graph can lose its second derivative: silently 0, and not every time.
    "MaxPool": _max_pooled,
    "MaxPool3D": _max_pooled,  # as MaxPool, and none in float64
    "MaxPool3DGrad": _gradient_of(_max_pooled, 0, 2),
    "MaxPoolGrad": _gradient_of(_max_pooled, 0, 2),
    "ResizeArea": _resized,
    "ResizeBicubic": _resized,  # ResizeBicubicGrad has no derivative
    "ResizeBicubicGrad": _resized_back,
    "ResizeBilinear": _resized,  # ResizeBilinearGrad counts as constant: silently wrong
    "ResizeBilinearGrad": _resized_back,
    "ResizeNearestNeighbor": _resized,  # ResizeNearestNeighborGrad has no derivative
    "ResizeNearestNeighborGrad": _resized_back,
    "ScaleAndTranslate": _resized,  # ScaleAndTranslateGrad has no derivative
    "ScaleAndTranslateGrad": _resized_back,
    # Its second derivative misses that the first one depends on the labels: silently wrong
    # where they depend on the input.
    "SoftmaxCrossEntropyWithLogits": _of_inputs(softmax_functions.cross_entropy),
    "Softsign": _softsign,  # SoftsignGrad has no derivative
    "SoftsignGrad": _gradient_of(_softsign, 1, 0),
    "XlaDynamicUpdateSlice": _dynamic_update,  # has no derivative
}
"""Op type -> a formula, whose derivatives replace TensorFlow's."""

ALL_OUTPUTS = frozenset({"SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"})
"""Op types whose formula gives all of the op's outputs; of the others it gives the first."""


def _euclidean_norm(op: tf.Operation, x: tf.Tensor, axis: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(x), axis=axis, keepdims=op.get_attr("keep_dims")))


REFINED: dict[str, Formula] = {
    # where digits are lost: in tails, beside poles that cancel
    **{op_type: _of_inputs(f) for op_type, f in elementary_functions.WITH_TAILS.items()},
    "BesselI0": _of_inputs(elementary_functions.bessel_i0),
    "BesselI1": _of_inputs(elementary_functions.bessel_i1),
    "BesselJ0": _of_inputs(elementary_functions.bessel_j0),
    "BesselJ1": _of_inputs(elementary_functions.bessel_j1),
    "Elu": _of_inputs(elementary_functions.elu),
    "Expm1": _of_inputs(elementary_functions.expm1),
    "LogSoftmax": _of_inputs(softmax_functions.log_softmax),
    "Selu": _of_inputs(elementary_functions.selu),
    "Sigmoid": _of_inputs(elementary_functions.sigmoid),
    "Softmax": _of_inputs(softmax_functions.softmax),
    "Softplus": _of_inputs(elementary_functions.softplus),
    "SparseSoftmaxCrossEntropyWithLogits": _of_inputs(softmax_functions.sparse_cross_entropy),
    "Spence": _of_inputs(elementary_functions.spence),
    "Swish": lambda op, value, x, beta: elementary_functions.silu(x, beta),
    "Tanh": _of_inputs(elementary_functions.tanh),
    "sin(x)/x": lambda op, sine, x: elementary_functions.sine_over(x),
    # where 0 meets infinity, or a factor is 0, or a square under- or overflows
    "Atan2": _of_inputs(elementary_functions.angle),
    "Cumprod": products_with_zeros.cumulative_product,
    "CumulativeLogsumexp": products_with_zeros.cumulative_logsumexp,
    "EuclideanNorm": _euclidean_norm,
    "MatrixDeterminant": determinants.determinant,
    "Pow": _of_inputs(elementary_functions.power),
    "Prod": products_with_zeros.product,
    "SegmentProd": products_with_zeros.product_in_segments,
    "UnsortedSegmentProd": products_with_zeros.product_in_segments,
    "Xdivy": _of_inputs(elementary_functions.over),
    "Xlog1py": _of_inputs(elementary_functions.times_log1p),
    "Xlogy": _of_inputs(elementary_functions.times_log),
    # where branches meet
    "Abs": _of_inputs(elementary_functions.absolute),
    "Minimum": _of_inputs(elementary_functions.minimum),
    **{kind: _of_inputs(f) for kind, f in elementary_functions.ON_THE_OTHER_SIDE.items()},
    "sinc(x)": lambda op, condition, filled, quotient: tf.identity(quotient),
}
"""Kind of op -> a formula for its first output, right also at those points where TensorFlow's
derivatives are not."""

GUARDED: dict[str, Callable[..., list[tf.Tensor]]] = {
    "Cholesky": determinants.lower_factor,
    "LogMatrixDeterminant": determinants.log_determinant,
    "MatrixInverse": determinants.inverse,
    "MatrixSolve": determinants.solution,
    "MatrixSquareRoot": determinants.root,
}
"""Op type -> all its outputs, by the op itself on another input: where TensorFlow would fail
for all examples, NaN at those of a singular matrix."""


def formula_for(op: tf.Operation) -> Formula | None:
    """The formula whose derivatives replace TensorFlow's for an op of a traced graph."""
    if any(tensor.dtype.is_complex for tensor in op.inputs):
        return None  # they are written in real numbers
    name = kind(op)
    return OVERRIDES.get(name) or REFINED.get(name)


def with_derivatives_of(
    formula: Callable[..., list[tf.Tensor]], value: Callable[..., list[tf.Tensor]]
) -> Callable[..., Any]:
    """A function with the values of one and the derivatives of another function.

    Args:
        formula: gives the derivatives.
        value: gives the values: TensorFlow's own op, so that not a bit of them changes.
    """

    @safe_custom_gradient
    def both(*inputs: tf.Tensor) -> tuple[Any, Callable[..., list[Any]]]:
        def gradient(*upstream: tf.Tensor) -> list[Any]:
            apart = [tf.identity(x) for x in inputs]  # one tensor may be two of them
            floats = [x for x in apart if x.dtype.is_floating]
            with tf.GradientTape() as tape:
                tape.watch(floats)
                outputs = formula(*apart)
            seeds = [tf.cast(u, y.dtype) for u, y in zip(upstream, outputs, strict=True)]
            found = iter(tape.gradient(outputs, floats, seeds))
            return [next(found) if x.dtype.is_floating else None for x in apart]

        return value(*inputs), gradient

    return both
