"""Random directions: entries that are cheap to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

BITS = 32
"""Signs that one random number gives: drawing a number for each would take as long as a layer."""


DIGITS = 6
"""Digits to the base 6 that one number of 32 bits gives: each value is as likely to 1 in 90,000.

Twelve fit, but 2³² is less than twice 6¹²: the last ones would be 0 more often than 5.
"""


def sparse_rademacher(shape: Sequence[int], seed: int, examples: tf.Tensor) -> tf.Tensor:
    """Entries of 0 two times in three and else `-sqrt(3)` or `sqrt(3)`.

    Up to the fourth moment they are those of a normal distribution, so `vᵀHv` has mean `tr H`
    and variance `2 |H|_F²`, but drawing them takes a fraction of the time (Achlioptas,
    Database-friendly random projections, Journal of Computer and System Sciences 66, 2003).

    Args:
        shape: of what is drawn for each example.
        seed: chooses the draw.
        examples: their numbers, `(n,)`: each has its own draw, whichever are drawn together.

    Returns:
        An int8 tensor `(n, *shape)` of -1, 0 and 1, to be multiplied by `sqrt(3)`.
    """
    count = math.prod(shape)
    length = -(-count // DIGITS)
    words = tf.map_fn(
        lambda i: tf.random.stateless_uniform([length], [seed, i], None, None, tf.uint32),
        examples,
        fn_output_signature=tf.TensorSpec([length], tf.uint32),
    )
    digits = []
    for _ in range(DIGITS):
        rest = words // 6
        digits.append(tf.cast(words - 6 * rest, tf.int8))
        words = rest
    flat = tf.concat(digits, axis=1)[:, :count]
    # 0 to 5: -1, 1, and four that give 0.
    return tf.reshape(tf.cast(flat == 1, tf.int8) - tf.cast(flat == 0, tf.int8), [-1, *shape])


def normal(shape: Sequence[int | tf.Tensor], seed: int, dtype: tf.DType) -> tf.Tensor:
    """Normally distributed entries, the same for a seed."""
    return tf.random.stateless_normal(shape, [seed, 1], dtype=dtype)


def rademacher(shape: Sequence[int | tf.Tensor], seed: int) -> tf.Tensor:
    """Entries of -1 and 1, each as likely (Hutchinson 1990), the same for a seed.

    Args:
        shape: of the result; a longer first axis continues the shorter.
        seed: chooses the draw.

    Returns:
        An int8 tensor: a float one of the same numbers would be four times as large.
    """
    lengths = tf.stack([tf.cast(length, tf.int64) for length in shape])
    if not tf.executing_eagerly():
        return _signs(lengths, seed)
    return _compiled_rademacher(lengths, tf.constant(seed))


def _signs(shape: tf.Tensor, seed: int | tf.Tensor) -> tf.Tensor:
    count = tf.reduce_prod(shape)
    words = tf.random.stateless_uniform([-(-count // BITS)], [seed, 0], None, None, tf.int32)
    shifted = tf.bitwise.right_shift(words[:, None], tf.range(BITS))
    heads = tf.cast(tf.bitwise.bitwise_and(shifted, 1), tf.int8)
    return tf.reshape(2 * tf.reshape(heads, [-1])[:count] - 1, shape)


_compiled_rademacher = tf.function(_signs, autograph=False, reduce_retracing=True)
"""The ops one by one take twice as long."""
