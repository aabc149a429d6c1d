"""Probabilities near 1 in float32: every derivative to its last digits, where 1 - p has none."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_curvature as kc
from confident_classes import ASKED, LOGITS, V, check, of_logsumexp, of_loss, of_probability


def _by_hand(x, around=lambda highest: highest):
    shares = tf.exp(x - around(tf.reduce_max(x, axis=-1, keepdims=True)))
    return (shares / tf.reduce_sum(shares, axis=-1, keepdims=True))[:, 0]


def _labels(x):
    return tf.zeros(tf.shape(x)[:1], tf.int32)


FUNCTIONS = {
    "softmax": (lambda x: tf.nn.softmax(x)[:, 0], of_probability),
    "softmax by hand": (_by_hand, of_probability),
    "softmax by hand, stopped": (lambda x: _by_hand(x, tf.stop_gradient), of_probability),
    "log_softmax": (lambda x: -tf.nn.log_softmax(x)[:, 0], of_loss),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), of_logsumexp),
    "logsumexp that keeps its axis": (
        lambda x: ops.logsumexp(x, axis=1, keepdims=True)[:, 0],
        of_logsumexp,
    ),
    "cumulative_logsumexp": (
        lambda x: tf.math.cumulative_logsumexp(x, axis=1)[:, -1],
        of_logsumexp,
    ),
    "logaddexp": (
        lambda x: ops.logaddexp(ops.logaddexp(x[:, 0], x[:, 1]), x[:, 2]),
        of_logsumexp,
    ),
    "sparse cross entropy": (
        lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits(_labels(x), x),
        of_loss,
    ),
    "cross entropy": (
        lambda x: tf.nn.softmax_cross_entropy_with_logits(tf.one_hot(_labels(x), 3), x),
        of_loss,
    ),
}


@pytest.mark.parametrize("engine", ["taylor", "nested"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "softmax" else [pytest.mark.slow])
        for name in FUNCTIONS
    ],
)
def test_no_digit_is_lost(name, engine):
    function, derivatives = FUNCTIONS[name]
    x = np.array(LOGITS, "float32")
    found = {}
    for names in ASKED:
        found |= kc.derivatives(function, x, names, v=V, engine=engine)
    check(found, derivatives)
