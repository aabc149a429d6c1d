"""First and second derivatives of functions of each number by itself."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.rule_constructors import Partials

TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
ROOT_TWO_PI = math.sqrt(2 * math.pi)


def where_positive(x: tf.Tensor, positive: Any, other: Any) -> tf.Tensor:
    """One thing where `x > 0`, another elsewhere, in the dtype of `x`."""
    return tf.where(x > 0, tf.cast(positive, x.dtype), tf.cast(other, x.dtype))


def where_negative(x: tf.Tensor, negative: Any, other: Any) -> tf.Tensor:
    """One thing where `x < 0`, another elsewhere, in the dtype of `x`."""
    return tf.where(x < 0, tf.cast(negative, x.dtype), tf.cast(other, x.dtype))


def exp_below(x: tf.Tensor) -> tf.Tensor:
    """`exp(x)` below 0, where it cannot overflow."""
    return tf.exp(tf.minimum(x, 0))


def quotient(a: tf.Tensor, b: tf.Tensor, y: tf.Tensor) -> Partials:
    """`a / b`."""
    inverse = 1 / b
    return [inverse, -y * inverse], {(0, 1): -inverse * inverse, (1, 1): 2 * y * inverse * inverse}


def squared_difference(a: tf.Tensor, b: tf.Tensor, y: tf.Tensor) -> Partials:
    """`(a - b)²`."""
    twice, two = 2 * (a - b), tf.constant(2, y.dtype)
    return [twice, -twice], {(0, 0): two, (0, 1): -two, (1, 1): two}


def chosen(compare: Any) -> Any:
    """`maximum` and `minimum`; the first argument wins a tie, as in TensorFlow."""

    def derivatives(a: tf.Tensor, b: tf.Tensor, y: tf.Tensor) -> Partials:
        first = tf.cast(compare(a, b), y.dtype)
        return [first, 1 - first], {}

    return derivatives


def angle_of(b: tf.Tensor, a: tf.Tensor, y: tf.Tensor) -> Partials:
    """`atan2(b, a)`, by numbers whose squares are numbers still."""
    scale = 1 / tf.maximum(tf.abs(a), tf.abs(b))
    a, b = a * scale, b * scale
    per_r2 = scale / (a * a + b * b)
    by_b, by_a = a * per_r2, -b * per_r2
    mixed = by_a * by_a - by_b * by_b
    return [by_b, by_a], {(0, 0): 2 * by_b * by_a, (0, 1): mixed, (1, 1): -2 * by_b * by_a}


def clipped(x: tf.Tensor, low: tf.Tensor, high: tf.Tensor, y: tf.Tensor) -> Partials:
    """`clip_by_value`."""
    below, above = x < low, x > high
    inside = tf.cast(~(below | above), y.dtype)
    return [inside, tf.cast(below, y.dtype), tf.cast(above & ~below, y.dtype)], {}
