"""Random signs: the directions of a trace estimate."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

BITS = 32
"""Signs that one random number gives: drawing a number for each would take as long as a layer."""


def random_signs(shape: Sequence[int | tf.Tensor], seed: int) -> tf.Tensor:
    """Entries of -1 and 1, each as likely (Hutchinson 1990), the same for a seed.

    Args:
        shape: of the result; a longer first axis continues the shorter.
        seed: chooses the draw.

    Returns:
        An int8 tensor: a float one of the same numbers would be four times as large.
    """
    count = tf.reduce_prod(tf.stack([tf.cast(length, tf.int64) for length in shape]))
    words = tf.random.stateless_uniform([-(-count // BITS)], [seed, 0], None, None, tf.int32)
    shifted = tf.bitwise.right_shift(words[:, None], tf.range(BITS))
    heads = tf.cast(tf.bitwise.bitwise_and(shifted, 1), tf.int8)
    return tf.reshape(2 * tf.reshape(heads, [-1])[:count] - 1, shape)
