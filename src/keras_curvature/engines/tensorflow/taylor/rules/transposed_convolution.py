"""Transposed convolutions, which are told the size of their result, batch included."""

from __future__ import annotations

import tensorflow as tf

from keras_curvature.engines.taylor.jets import sizes
from keras_curvature.engines.taylor.registry import Rule, Step
from keras_curvature.engines.taylor.rule_constructors import fold, linear_in, unfold


def transposed_convolution() -> Rule:
    """`Conv2DBackpropInput`, `Conv3DBackpropInputV2`, by what is convolved."""
    return linear_in((2,), _on_stack)


def _on_stack(step: Step, index: int, stack: tf.Tensor) -> tf.Tensor:
    size, kernel, _ = step.inputs
    rows = fold(stack)
    count = tf.cast(sizes(rows)[0], size.dtype)
    larger = tf.concat([[count], size[1:]], axis=0)
    return unfold(step.again([larger, kernel, rows])[0], stack)
