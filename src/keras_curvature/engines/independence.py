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


def warn_if_coupled(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> None:
    """Compares the model on a few examples together with the model on each alone.

    All derivatives here are per example: the gradient of a batch's sum is taken apart into
    its examples. Where one example's output depends on another's input (a statistic over the
    batch, say), that is not a derivative of anything.
    """
    few = [leaf[:EXAMPLES] for leaf in leaves]
    count = int(few[0].shape[0])
    if count < 2:
        return
    together = _value(f, few)
    # Twice the same example, for the models that fail on a batch of one.
    pairs = [[tf.repeat(leaf[i : i + 1], 2, axis=0) for leaf in few] for i in range(count)]
    alone = tf.concat([_value(f, pair)[:1] for pair in pairs], axis=0)
    size = tf.reduce_max(tf.abs(alone))
    difference = tf.reduce_max(tf.abs(together - alone))
    if bool(difference > TOLERANCE * size):  # False for NaN: that is another problem
        warnings.warn(
            "The model gives an example another output when other examples are in the batch "
            f"(up to {float(difference / size):.1%} of the largest output here): its examples "
            "influence each other, or it is random. Derivatives per example are not defined "
            "for such a model, and what is computed is the derivative of the batch's sum.",
            stacklevel=2,
        )


def _value(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> tf.Tensor:
    return f(*f.point(leaves))
