"""Functions whose Hessians are known, and equations that hold, on every backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.stats import norm

import keras_curvature as kc

A = np.array([[1.0, 2.0, -1.0], [0.0, 3.0, 0.5], [2.0, 1.0, -2.0]])
RATES = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Known:
    """A function of a batch with 3 numbers in each example, and its Hessian.

    `hessian` takes flat points `(n, 3)` and gives `(n, *output_shape, 3, 3)`.
    """

    function: Callable[[Any], Any]
    input_shape: tuple[int, ...]
    hessian: Callable[[np.ndarray], np.ndarray]


def _quadratic(x):
    rows = [sum(float(a) * x[:, j] for j, a in enumerate(row)) for row in A]
    return sum(x[:, i] * row for i, row in enumerate(rows))[:, None]


def _gaussian(x):
    return ops.exp(-sum(a * x[:, i] ** 2 for i, a in enumerate(RATES)))


def _hessian_of_gaussian(x):
    slope = -2 * np.array(RATES) * x
    value = np.exp(slope * x / 2).prod(axis=1)[:, None, None]
    return value * (slope[:, :, None] * slope[:, None] - 2 * np.diag(RATES))


def _two_outputs(x):
    x = ops.reshape(x, (-1, 3))
    return ops.stack([x[:, 0] * x[:, 1] * x[:, 2], ops.sin(x[:, 0]) * x[:, 2]], axis=1)


def _hessian_of_two(x):
    found = np.zeros((len(x), 2, 3, 3))
    for i, j, k in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        found[:, 0, i, j] = found[:, 0, j, i] = x[:, k]
    found[:, 1, 0, 0] = -np.sin(x[:, 0]) * x[:, 2]
    found[:, 1, 0, 2] = found[:, 1, 2, 0] = np.cos(x[:, 0])
    return found


KNOWN = {
    "quadratic": Known(
        _quadratic, (3,), lambda x: np.tile((A + A.T)[None, None], (len(x), 1, 1, 1))
    ),
    "gaussian without an output axis": Known(_gaussian, (3,), _hessian_of_gaussian),
    "two outputs of a matrix": Known(_two_outputs, (3, 1), _hessian_of_two),
}

V = np.array([[1.0, -1.0, 0.5], [0.0, 2.0, 1.0]])

MATRICES = {
    "identity": np.eye(3),
    "rank 1": np.outer(V[0], V[0]),
    "rank 2": V.T @ V,
    "negative": -(V.T @ V),
    "of both signs": A + A.T,
    "zero": np.zeros((3, 3)),
    "one for each": np.stack(
        [np.eye(3), V.T @ V, -np.outer(V[0], V[0]), A + A.T, np.zeros((3, 3))]
    ),
}
"""Of 5 examples where there is one for each."""


def points(known: Known, dtype: str = "float64") -> np.ndarray:
    """Five of them."""
    return np.random.default_rng(0).normal(size=(5, *known.input_shape)).astype(dtype)


def contracted(known: Known, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sum of weights times second derivatives."""
    hessian = known.hessian(x.reshape(-1, 3).astype("float64"))
    if weights.ndim == 3:
        weights = weights.reshape(len(weights), *[1] * (hessian.ndim - 3), 3, 3)
    return np.sum(hessian * weights, axis=(-2, -1))


def along(known: Known, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Curvatures and products along `(k, *input_shape)`, or `(n, k, ...)` of each example."""
    flat = v.reshape(*v.shape[: v.ndim - len(known.input_shape)], 3)
    hessian = known.hessian(x.reshape(-1, 3).astype("float64"))
    flat = np.broadcast_to(flat, (len(x), *flat.shape[-2:]))
    products = np.einsum("n...ij,nkj->nk...i", hessian, flat)
    between = [1] * (products.ndim - 3)
    curvatures = np.sum(products * flat.reshape(*flat.shape[:2], *between, 3), axis=-1)
    return curvatures, products.reshape(*products.shape[:-1], *known.input_shape)


VOLATILITIES, CORRELATION, TIME = np.array([0.2, 0.35]), 0.4, 1.5
COVARIANCE = np.outer(VOLATILITIES, VOLATILITIES) * [[1, CORRELATION], [CORRELATION, 1]]
_SPREAD = math.sqrt(COVARIANCE[0, 0] + COVARIANCE[1, 1] - 2 * COVARIANCE[0, 1])


def exchange_option(s):
    """The value of the right to give one asset for another (Margrabe, 1978)."""
    deviation = _SPREAD * math.sqrt(TIME)
    above = ops.log(s[:, 0] / s[:, 1]) / deviation + deviation / 2

    def share(z):
        return (1 + ops.erf(z / math.sqrt(2))) / 2

    return s[:, 0] * share(above) - s[:, 1] * share(above - deviation)


def spread_of_prices(s):
    """`Cov_ij S_i S_j`, by which the equation of Black and Scholes weighs second derivatives."""
    (first, both), (_, second) = COVARIANCE.tolist()
    a, b = s[:, 0], s[:, 1]
    rows = [[first * a * a, both * a * b], [both * a * b, second * b * b]]
    return ops.stack([ops.stack(row, axis=-1) for row in rows], axis=1)


def decay(s: np.ndarray) -> np.ndarray:
    """What the weighted sum must be: twice what the option loses with time."""
    deviation = _SPREAD * math.sqrt(TIME)
    above = np.log(s[:, 0] / s[:, 1]) / deviation + deviation / 2
    return s[:, 0] * norm.pdf(above) * _SPREAD / math.sqrt(TIME)


def prices() -> np.ndarray:
    """Of two assets, near each other."""
    return np.random.default_rng(1).uniform(0.8, 1.2, (6, 2))


class Solving(keras.Model):
    """Trains a network until `L u = 1`, for what `operator(net, x)` is."""

    def __init__(self, net, operator):
        super().__init__()
        self.net, self.operator = net, operator

    def call(self, x):
        return self.net(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean((self.operator(self.net, x) - 1) ** 2)


def trained(operator, **compiled):
    """The weights of a network after two steps, and by how much they moved."""
    keras.utils.set_random_seed(3)
    net = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1, use_bias=False)]
    )
    before = net.get_weights()
    model = Solving(net, operator)
    model.compile(keras.optimizers.SGD(0.05), **compiled)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model.fit(x, np.zeros((8, 1)), batch_size=4, epochs=1, shuffle=False, verbose=0)
    after = net.get_weights()
    return after, max(np.abs(a - b).max() for a, b in zip(after, before, strict=True))


def by_hessian(weights):
    """The weighted sum from the whole Hessian."""

    def operator(net, x):
        matrices = (
            weights(x)[:, None] if callable(weights) else ops.convert_to_tensor(weights, "float32")
        )
        return ops.sum(kc.hessian(net, x, engine="nested") * matrices, axis=(-2, -1))

    return operator
