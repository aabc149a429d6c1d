"""Probabilities near 1 in float32: every derivative to its last digits, where 1 - p has none."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_curvature as kc

LOGITS = [[0, -16, -17], [0, -30, -31], [5, -35, -60], [-20, 3, -20], [1, 1, 0]]
V = np.array([1.0, 2, 3])
ASKED = (
    ("jacobian", "hessian"),
    ("laplacian", "directional_curvature"),
    ("hessian_diagonal", "hessian_vector_product"),
)
"""Each set of names takes ways of its own through the engines."""


def probabilities(logits):
    """In sixty digits, of which cancellation leaves enough."""
    with localcontext(prec=60):
        shares = [Decimal(z).exp() for z in logits]
        total = sum(shares)
        return np.array([share / total for share in shares])


def covariance(p):
    return np.diag(p) - np.outer(p, p)


def of_logsumexp(p):
    return p, covariance(p)


def of_loss(p):
    """Of `-log p₀`."""
    return p - np.array([Decimal(1), 0, 0]), covariance(p)


def of_probability(p):
    away = np.array([Decimal(1), 0, 0]) - p
    return p[0] * away, p[0] * (np.outer(away, away) - covariance(p))


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
    for k, logits in enumerate(LOGITS):
        with localcontext(prec=60):
            gradient, hessian = derivatives(probabilities(logits))
        gradient, hessian = gradient.astype("float64"), hessian.astype("float64")
        truth = {
            "jacobian": gradient,
            "hessian": hessian,
            "hessian_diagonal": np.diag(hessian),
            "laplacian": np.trace(hessian),
            "hessian_vector_product": hessian @ V,
            "directional_curvature": V @ hessian @ V,
        }
        for quantity, right in truth.items():
            # Some ten roundings in float32, each of the largest of the numbers.
            np.testing.assert_allclose(
                found[quantity][k],
                right,
                rtol=0,
                atol=1e-5 * np.abs(right).max(),
                err_msg=f"{quantity} at {logits}",
            )
