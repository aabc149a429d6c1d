"""Sums over the numbers of one example: what an op adds to the second derivatives."""

from __future__ import annotations

import math

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Base, sizes


def diagonal(a: tf.Tensor, b: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """The sums of `weight * a_i * b_i`, shape `(n, m, k)`.

    Args:
        a: a stack `(k, n or 1, …)`.
        b: another.
        weight: `(m, n, …)`, or `None` for 1.
    """
    a, b = _rows(a), _rows(b)
    product = tf.square(a) if a is b else a * b
    if weight is None:
        return tf.transpose(tf.reduce_sum(product, axis=2))[:, None]
    w = _rows(weight)
    if product.shape[1] == 1:  # alike for all examples
        return tf.transpose(tf.tensordot(w, product[:, 0], [[2], [1]]), [1, 0, 2])
    if w.shape[0] == 1:
        return tf.transpose(tf.reduce_sum(product * w, axis=2))[:, None]
    return tf.einsum("mnu,knu->nmk", w, product)


def pairs(a: tf.Tensor, b: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """The sums of `weight * a_i * b_j`, shape `(n, m, k, k)`; arguments as for `diagonal`."""
    a, b = _rows(a), _rows(b)
    if weight is None:
        left, right = tf.transpose(a, [1, 0, 2]), tf.transpose(b, [1, 0, 2])
        return tf.matmul(left, right, transpose_b=True)[:, None]
    w = tf.transpose(_rows(weight), [1, 0, 2])[:, :, None]
    left = tf.transpose(a, [1, 0, 2])[:, None] * w
    if b.shape[1] == 1:
        flat = tf.matmul(tf.reshape(left, [-1, b.shape[2]]), b[:, 0], transpose_b=True)
        return tf.reshape(flat, [-1, w.shape[1], a.shape[0], b.shape[0]])
    right = tf.transpose(b, [1, 0, 2])[:, None]
    return tf.matmul(left, right, transpose_b=True)


def narrowed(weight: tf.Tensor, one: Base, other: Base) -> tf.Tensor:
    """A weight `(m, n, …)` summed along the axes in which both bases are the same throughout."""
    a, b = (base.first.shape[2:].as_list() for base in (one, other))
    wide = weight.shape[2:].as_list()
    alike = [i + 2 for i, sizes_ in enumerate(zip(a, b, wide, strict=True)) if _alike(*sizes_)]
    return tf.reduce_sum(weight, axis=alike, keepdims=True) if alike else weight


def _alike(a: int | None, b: int | None, wide: int | None) -> bool:
    return a == b == 1 != wide


def widened(stack: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """A stack broadcast to what is left of a weight, but for the examples."""
    wide = weight.shape[2:].as_list()
    if stack.shape[2:].as_list() == wide or None in wide:
        return stack
    return tf.broadcast_to(stack, [*sizes(stack)[:2], *wide])


def _rows(stack: tf.Tensor) -> tf.Tensor:
    """All that belongs to one example in a row."""
    if stack.shape.rank == 3:
        return stack
    numbers = stack.shape[2:].as_list()
    row = -1 if None in numbers else math.prod(numbers)
    return tf.reshape(stack, [*sizes(stack)[:2], row])
