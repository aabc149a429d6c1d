"""Whether the examples of a batch influence each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import tensorflow as tf

from keras_curvature.engines.function import FlatFunction

EXAMPLES = 4
"""How many examples are tried together and one by one."""

TOLERANCE = 1e-3
"""Relative difference that rounding in another batch size does not explain, even in a deep
float32 network; coupled examples differ by far more."""


def warn_if_coupled(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> bool:
    """Whether `influence` is more than rounding, of which it warns.

    All derivatives here are per example: the gradient of a batch's sum is taken apart into
    its examples. Where one example's output depends on another's input (a statistic over the
    batch, say), that is not a derivative of anything.
    """
    found = influence(f, leaves)
    coupled = found > TOLERANCE  # False for NaN: that is another problem
    if coupled:
        warnings.warn(
            "The model gives an example another output when other examples are in the batch "
            f"(up to {found:.1%} of the largest output here): its examples "
            "influence each other, or it is random. Derivatives per example are not defined "
            "for such a model, and what is computed is the derivative of the batch's sum.",
            stacklevel=2,
        )
    return coupled


def influence(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> float:
    """How much an output changes with the other examples, relative to the largest output.

    Compares the model on a few examples together with the model on each alone.
    """
    few = [leaf[:EXAMPLES] for leaf in leaves]
    count = int(few[0].shape[0])
    if count < 2:
        return 0.0
    together = _value(f, few)
    # Twice the same example, for the models that fail on a batch of one.
    pairs = [[tf.repeat(leaf[i : i + 1], 2, axis=0) for leaf in few] for i in range(count)]
    alone = tf.concat([_value(f, pair)[:1] for pair in pairs], axis=0)
    return _relative(together, alone)


def randomness(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> float:
    """How much an output changes from one call to the next, relative to the largest output."""
    few = [leaf[:EXAMPLES] for leaf in leaves]
    first, second = _value(f, few), _value(f, few)
    return _relative(first, second)


def _relative(a: tf.Tensor, b: tf.Tensor) -> float:
    """The largest difference, relative to the largest of all numbers."""
    size = float(tf.reduce_max(tf.abs(tf.stack([a, b]))))
    return float(tf.reduce_max(tf.abs(a - b))) / size if size else 0.0


def _value(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> tf.Tensor:
    return f(*f.point(leaves))
