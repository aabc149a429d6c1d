"""Functions of whole rows: softmax and its kin."""

from __future__ import annotations

import tensorflow as tf

from keras_curvature.engines.taylor.registry import Rule, Step, always
from keras_curvature.engines.taylor.rule_constructors import joining, normalised
from keras_curvature.engines.taylor.series import Series
from keras_curvature.engines.taylor.softmax_series import log_softmax_series, softmax_series
from keras_curvature.engines.tensorflow.softmax_functions import deviation


def softmax() -> Rule:
    """`y' = y t` and `y'' = y (t² - Σ y t² + …)` with `t = z' - Σ y z'`."""

    def around(step: Step, stack: tf.Tensor) -> tf.Tensor:
        return deviation(step.outputs[0], stack)

    def scaled(step: Step, stack: tf.Tensor) -> tf.Tensor:
        return step.outputs[0] * stack

    def weighted(step: Step, stack: tf.Tensor) -> tf.Tensor:
        return scaled(step, around(step, stack))

    def series(step: Step, u: Series) -> Series:
        return softmax_series(u, step.outputs[0], -1)

    return normalised(around, scaled, weighted, weighted, series)


def log_softmax() -> Rule:
    """`y' = t` and `y'' = -Σ p t² + z'' - Σ p z''` with `p = softmax(z)`, `t = z' - Σ p z'`."""

    def p(step: Step) -> tf.Tensor:
        return tf.exp(step.outputs[0])

    def around(step: Step, stack: tf.Tensor) -> tf.Tensor:
        return deviation(p(step), stack)

    def apply(step: Step, stack: tf.Tensor) -> tf.Tensor:
        total = tf.reduce_sum(p(step) * stack, axis=-1, keepdims=True)
        return -total * tf.ones_like(p(step))

    def adjoint(step: Step, weight: tf.Tensor) -> tf.Tensor:
        return -p(step) * tf.reduce_sum(weight, axis=-1, keepdims=True)

    def series(step: Step, u: Series) -> Series:
        return log_softmax_series(u, p(step), step.outputs[0], -1)

    return normalised(around, lambda step, stack: stack, apply, adjoint, series)


def less_largest() -> Rule:
    """`x - max(x)`, worked out: as a function of both, each of its large parts would be squared."""
    return joining(lambda step, stacks: stacks[0] - stacks[1], always)
