"""Functions of whole rows: softmax and its kin."""

from __future__ import annotations

import tensorflow as tf

from keras_curvature.engines.taylor.registry import Rule, Step
from keras_curvature.engines.taylor.rule_constructors import normalised


def _mean(step: Step, stack: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(step.outputs[0] * stack, axis=-1, keepdims=True)


def _around_mean(step: Step, stack: tf.Tensor) -> tf.Tensor:
    return stack - _mean(step, stack)


def softmax() -> Rule:
    """`y' = y t` and `y'' = y (t² - Σ y t² + …)` with `t = z' - Σ y z'`."""

    def weighted(step: Step, stack: tf.Tensor) -> tf.Tensor:
        return step.outputs[0] * _around_mean(step, stack)

    return normalised(_around_mean, weighted, weighted, weighted)


def log_softmax() -> Rule:
    """`y' = t` and `y'' = -Σ p t² + z'' - Σ p z''` with `p = softmax(z)`, `t = z' - Σ p z'`."""

    def p(step: Step) -> tf.Tensor:
        return tf.exp(step.outputs[0])

    def around(step: Step, stack: tf.Tensor) -> tf.Tensor:
        return stack - tf.reduce_sum(p(step) * stack, axis=-1, keepdims=True)

    def apply(step: Step, stack: tf.Tensor) -> tf.Tensor:
        total = tf.reduce_sum(p(step) * stack, axis=-1, keepdims=True)
        return -total * tf.ones_like(p(step))

    def adjoint(step: Step, weight: tf.Tensor) -> tf.Tensor:
        return -p(step) * tf.reduce_sum(weight, axis=-1, keepdims=True)

    return normalised(around, around, apply, adjoint)


def cross_entropy(
    op: tf.Operation, logits: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The negative log-probability of the right class, and its gradient."""
    right = tf.one_hot(labels, tf.shape(logits)[-1], dtype=logits.dtype)
    loss = -tf.reduce_sum(right * tf.nn.log_softmax(logits), axis=-1)
    return loss, tf.nn.softmax(logits) - right
