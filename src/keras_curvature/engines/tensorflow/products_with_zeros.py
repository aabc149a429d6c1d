"""Products, and sums of exponentials, written as what can be differentiated at every point.

TensorFlow divides the product by the factor to get the slope, which says nothing where a factor
is 0. Here it is multiplications all the way: in a tree, or in a scan of doubling steps (Hillis and
Steele, Data parallel algorithms, 1986).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_curvature.engines.tensorflow.elementary_functions import absolute

Combine = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def product(op: tf.Operation, x: tf.Tensor, axis: tf.Tensor) -> tf.Tensor:
    """`reduce_prod`, along one axis after the other."""
    known = tf.get_static_value(op.inputs[1])
    axes = None if known is None else [int(a) % x.shape.rank for a in known.ravel()]
    if axes is None or any(x.shape[a] is None for a in axes):
        return _product_of_any_length(x, axis, op.get_attr("keep_dims"))
    for a in axes:
        while x.shape[a] > 1:
            half = x.shape[a] // 2
            pairs = _part(x, a, 0, half) * _part(x, a, half, 2 * half)
            x = tf.concat([pairs, _part(x, a, 2 * half, x.shape[a])], axis=a)
        if x.shape[a] == 0:
            x = tf.ones_like(tf.reduce_sum(x, axis=a, keepdims=True))
    # Without axes, `squeeze` would take them all.
    return x if op.get_attr("keep_dims") or not axes else tf.squeeze(x, axis=axes)


def _product_of_any_length(x: tf.Tensor, axis: tf.Tensor, keepdims: bool) -> tf.Tensor:
    rank = tf.rank(x)
    axes = tf.reshape(axis, [-1]) % rank
    kept = tf.reshape(tf.sets.difference(tf.range(rank)[None], axes[None]).values, [-1])
    lengths = tf.shape(x)
    last = tf.transpose(x, tf.concat([axes, kept], axis=0))
    rows = tf.reshape(last, tf.concat([[-1], tf.gather(lengths, kept)], axis=0))
    total = tf.foldl(tf.multiply, rows, tf.ones_like(rows[0]))
    if not keepdims:
        return total
    return tf.reshape(
        total, tf.tensor_scatter_nd_update(lengths, axes[:, None], tf.ones_like(axes))
    )


def _part(x: tf.Tensor, axis: int, start: int, stop: int) -> tf.Tensor:
    return x[(*(slice(None),) * axis, slice(start, stop))]


def cumulative_product(op: tf.Operation, x: tf.Tensor, axis: tf.Tensor) -> tf.Tensor:
    """`cumprod`."""
    return _scanned(op, x, axis, tf.multiply, 1)


def cumulative_logsumexp(op: tf.Operation, x: tf.Tensor, axis: tf.Tensor) -> tf.Tensor:
    """`log(cumsum(exp(x)))`; what begins with nothing begins with the lowest number."""
    return _scanned(op, x, axis, _logsumexp_of_two, x.dtype.min)


def _logsumexp_of_two(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """`log(exp(a) + exp(b))`, of which nothing is left where both are -inf."""
    highest = tf.where(a < b, b, a)
    lost = tf.equal(highest, -math.inf)
    apart = tf.where(lost, tf.zeros_like(a), a - b)
    return highest + tf.math.log1p(tf.exp(-absolute(apart)))


def _scanned(
    op: tf.Operation, x: tf.Tensor, axis: tf.Tensor, combine: Combine, nothing: float
) -> tf.Tensor:
    known = tf.get_static_value(op.inputs[1])
    if known is None:
        raise NotImplementedError(f"{op.type} along an axis that is not known before")
    a = int(known) % x.shape.rank
    reverse = op.get_attr("reverse")
    x = tf.reverse(x, [a]) if reverse else x
    if x.shape[a] is None:
        front = [a, *(i for i in range(x.shape.rank) if i != a)]
        back = [front.index(i) for i in range(x.shape.rank)]
        x = tf.transpose(tf.scan(combine, tf.transpose(x, front)), back)
    else:
        shift = 1
        while shift < x.shape[a]:
            ahead, behind = _part(x, a, shift, x.shape[a]), _part(x, a, 0, x.shape[a] - shift)
            x = tf.concat([_part(x, a, 0, shift), combine(behind, ahead)], axis=a)
            shift *= 2
    if op.get_attr("exclusive"):
        first = tf.fill(
            tf.shape(x[(*(slice(None),) * a, slice(0, 1))]), tf.constant(nothing, x.dtype)
        )
        x = tf.concat([first, x[(*(slice(None),) * a, slice(0, -1))]], axis=a)
    return tf.reverse(x, [a]) if reverse else x


def product_in_segments(
    op: tf.Operation, x: tf.Tensor, ids: tf.Tensor, *count: tf.Tensor
) -> tf.Tensor:
    """`segment_prod` and `unsorted_segment_prod`: in order of the segments, a scan within each."""
    x = tf.reshape(x, tf.concat([[-1], tf.shape(x)[ids.shape.rank :]], axis=0))
    ids = tf.reshape(ids, [-1])
    total = count[0] if count else tf.reduce_max(ids) + 1
    order = tf.argsort(ids, stable=True)
    ids, x = tf.gather(ids, order), tf.gather(x, order)

    def as_column(flags: tf.Tensor) -> tf.Tensor:
        return tf.reshape(flags, [-1, *[1] * (x.shape.rank - 1)])

    def doubled(shift: Any, x: tf.Tensor) -> tuple[Any, tf.Tensor]:
        same = as_column(tf.equal(ids[shift:], ids[:-shift]))
        joined = tf.where(same, x[:-shift] * x[shift:], x[shift:])
        return 2 * shift, tf.concat([x[:shift], joined], axis=0)

    if ids.shape[0] is not None:
        for doublings in range(max(ids.shape[0] - 1, 0).bit_length()):
            _, x = doubled(2**doublings, x)
    else:
        length = tf.shape(ids)[0]
        _, x = tf.while_loop(lambda shift, _: shift < length, doubled, [tf.constant(1), x])
    segments = tf.range(total, dtype=ids.dtype)
    last = tf.searchsorted(ids, segments, side="right") - 1
    place = tf.maximum(last, 0)
    held = as_column((last >= 0) & tf.equal(tf.gather(ids, place), segments))
    found = tf.gather(x, place)
    return tf.where(held, found, tf.ones_like(found))
