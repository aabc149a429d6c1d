"""What to differentiate of a classifier, which has an output for every class.

On the last axis of a tensor lie the classes: logits, or what else grows with the belief in a
class. Results keep that axis, with length 1.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def predicted(scores: tf.Tensor) -> tf.Tensor:
    """The predicted class's score, the largest.

    At another point another class may be the largest: a kink, which counts in the curvature
    over a distance.
    """
    return tf.reduce_max(scores, axis=-1, keepdims=True)


def margin(scores: tf.Tensor) -> tf.Tensor:
    """How far the largest score is above the second largest: 0 on the decision boundary."""
    largest = tf.reduce_max(scores, axis=-1, keepdims=True)
    chosen = tf.one_hot(tf.argmax(scores, axis=-1), scores.shape[-1], True, False, dtype=tf.bool)
    lowest = tf.constant(scores.dtype.min, scores.dtype)
    others = tf.where(chosen, lowest, scores)
    return largest - tf.reduce_max(others, axis=-1, keepdims=True)


OF_A_CLASSIFIER: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "predicted": predicted,
    "margin": margin,
}
"""What `output=` may be besides the names of a model's outputs."""
