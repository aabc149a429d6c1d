"""Functions at the points at which formulas break, with their derivatives in closed form.

`OF_ONE_NUMBER` has functions of one number in groups that share their points: tails, where digits
are lost; 0 and ties, where branches of a formula meet though the function is smooth; poles behind a
`where`. `OF_SEVERAL` has functions of several numbers with all derivatives. `KINKS` says what is
taken where there is no derivative. All points are numbers that float32 holds, or has next to it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

Array = np.ndarray


class OfOneNumber(NamedTuple):
    """A function of `(n, 1)` and its derivatives."""

    function: Callable[[Any], Any]
    first: Callable[[Array], Any]
    second: Callable[[Array], Any]


class Group(NamedTuple):
    """Functions that are looked at in the same points."""

    points: Sequence[float]
    functions: Mapping[str, OfOneNumber]


class OfSeveral(NamedTuple):
    """A function of `(n, d)` with one output, its points and derivatives `(n, d)`, `(n, d, d)`."""

    function: Callable[[Any], Any]
    points: Any
    gradient: Callable[[Array], Array]
    hessian: Callable[[Array], Array]


def logistic(x: Array) -> Array:
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def bump(x: Array) -> Array:
    """The slope of `logistic`."""
    return np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2


def below(x: Array, value: Any, other: Any) -> Array:
    return np.where(x < 0, value, other)


def above(x: Array, value: Callable[[Array], Any]) -> Array:
    """A function of what is above 0, and 0 elsewhere."""
    return np.where(x > 0, value(np.where(x > 0, x, 1)), 0)


def _mish(x: Array) -> tuple[Array, Array]:
    """`x t(x)` with `t = tanh(softplus(x))`: `t' = w s`, `t'' = w (b - 2 t s²)`."""
    plus = np.logaddexp(x, 0)
    t, w, s, b = np.tanh(plus), 4 * bump(2 * plus), logistic(x), bump(x)
    return t + x * w * s, 2 * w * s + x * w * (b - 2 * t * s**2)


def _sinc(x: Array, order: int) -> Array:
    """A derivative of the power series of `sin(πx) / πx`, which converges everywhere."""
    terms = (
        (-1) ** k
        * math.pi ** (2 * k)
        / math.factorial(2 * k + 1)
        * math.perm(2 * k, order)
        * x ** max(2 * k - order, 0)
        for k in range(25)
    )
    return np.sum(list(terms), axis=0)


def _beside(x: Any, *columns: Any) -> Any:
    return tf.concat([x, *columns], axis=1)


def _in_one_segment(product: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: tf.transpose(product(tf.transpose(_beside(x, 1 - x))))


def _where_above(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: tf.where(x > 0, function(x), tf.zeros_like(x))


def _above(
    function: Callable[[Any], Any], first: Callable[[Array], Any], second: Callable[[Array], Any]
) -> OfOneNumber:
    """A function above 0, and 0 elsewhere, written as a `where`."""
    return OfOneNumber(
        _where_above(function), lambda x: above(x, first), lambda x: above(x, second)
    )


ln2 = math.log(2)
_PRODUCT = (lambda x: 1 - 2 * x, lambda x: -2 + 0 * x)
_SOFTPLUS = (logistic, bump)
_SQUARE = (lambda x: 2 * x, lambda x: 2 + 0 * x)
_SINC = (lambda x: _sinc(x, 1), lambda x: _sinc(x, 2))
_LINE = (lambda x: 1 + 0 * x, lambda x: 0 * x)


def _of_powers(function: Any, power: float, terms: Any) -> OfOneNumber:
    """`Σ cₖ x⁻ᵖ⁻ᵏ`, whose next terms are less than 1e-9 of it."""
    p = power + np.arange(len(terms))

    def first(x: Array) -> Array:
        return (-p * terms * x[:, None] ** (-p - 1)).sum(axis=1)

    def second(x: Array) -> Array:
        return (p * (p + 1) * terms * x[:, None] ** (-p - 2)).sum(axis=1)

    return OfOneNumber(function, first, second)


def _hankel(order: int, sign: int) -> Array:
    """The terms of the expansions of modified Bessel functions in their tails (DLMF 10.40)."""
    steps = [sign * (4 * order**2 - (2 * k - 1) ** 2) / (8 * k) if k else 1.0 for k in range(8)]
    return np.cumprod(steps)


OF_ONE_NUMBER = {
    "tails": Group(
        [0, 1, -1, 5, -5, 9, -9, 17, -17, 30, -30, 50, -50, 80, -80],
        {
            "sigmoid": OfOneNumber(ops.sigmoid, bump, lambda x: -bump(x) * np.tanh(x / 2)),
            "softplus": OfOneNumber(ops.softplus, *_SOFTPLUS),
            "log_sigmoid": OfOneNumber(ops.log_sigmoid, lambda x: logistic(-x), lambda x: -bump(x)),
            "silu": OfOneNumber(
                ops.silu,
                lambda x: logistic(x) + x * bump(x),
                lambda x: bump(x) * (2 - x * np.tanh(x / 2)),
            ),
            "steep silu": OfOneNumber(
                lambda x: tf.nn.silu(x, beta=2.0),
                lambda x: logistic(2 * x) + 2 * x * bump(2 * x),
                lambda x: 4 * bump(2 * x) * (1 - x * np.tanh(x)),
            ),
            "tanh": OfOneNumber(
                ops.tanh, lambda x: 4 * bump(2 * x), lambda x: -8 * np.tanh(x) * bump(2 * x)
            ),
            "mish": OfOneNumber(
                keras.activations.mish, lambda x: _mish(x)[0], lambda x: _mish(x)[1]
            ),
            "elu": OfOneNumber(
                ops.elu, lambda x: below(x, np.exp(x), 1), lambda x: below(x, np.exp(x), 0)
            ),
            "selu": OfOneNumber(
                ops.selu,
                lambda x: 1.0507009873554805 * below(x, 1.6732632423543772 * np.exp(x), 1),
                lambda x: 1.7580993408473766 * below(x, np.exp(x), 0),
            ),
            "celu": OfOneNumber(
                ops.celu, lambda x: below(x, np.exp(x), 1), lambda x: below(x, np.exp(x), 0)
            ),
            "expm1": OfOneNumber(
                lambda x: ops.expm1(x / 4),
                lambda x: np.exp(x / 4) / 4,
                lambda x: np.exp(x / 4) / 16,
            ),
            "logaddexp": OfOneNumber(lambda x: ops.logaddexp(x, 0.0), *_SOFTPLUS),
            "logaddexp2": OfOneNumber(
                lambda x: ops.logaddexp2(x, tf.zeros_like(x)),
                lambda x: logistic(ln2 * x),
                lambda x: ln2 * bump(ln2 * x),
            ),
            "sigmoid cross-entropy": OfOneNumber(
                lambda x: tf.nn.sigmoid_cross_entropy_with_logits(tf.zeros_like(x) + 0.25, x),
                lambda x: logistic(x) - 0.25,
                bump,
            ),
            "weighted cross-entropy": OfOneNumber(
                lambda x: tf.nn.weighted_cross_entropy_with_logits(
                    tf.zeros_like(x) + 0.25, x, tf.constant(2, x.dtype)
                ),
                lambda x: 0.75 - 1.25 * logistic(-x),
                lambda x: 1.25 * bump(x),
            ),
        },
    ),
    "smooth, written in branches": Group(
        [0, 1, -1, 0.5, -3, 1e-8, -1e-30],
        {
            "softplus by hand": OfOneNumber(
                lambda x: tf.maximum(x, 0) + tf.math.log1p(tf.exp(-tf.abs(x))), *_SOFTPLUS
            ),
            "NumPy's logaddexp": OfOneNumber(
                lambda x: tf.experimental.numpy.logaddexp(x, tf.zeros_like(x)), *_SOFTPLUS
            ),
            "hypot": OfOneNumber(
                lambda x: ops.hypot(x, tf.ones_like(x)),
                lambda x: x / np.hypot(x, 1),
                lambda x: np.hypot(x, 1) ** -3,
            ),
            "power of abs": OfOneNumber(lambda x: ops.abs(x) ** 2, *_SQUARE),
            "square of abs": OfOneNumber(lambda x: ops.square(ops.abs(x)), *_SQUARE),
            "abs times abs": OfOneNumber(lambda x: ops.abs(x) * ops.abs(x), *_SQUARE),
            "cosine of abs": OfOneNumber(
                lambda x: ops.cos(ops.abs(x)), lambda x: -np.sin(x), lambda x: -np.cos(x)
            ),
            "product of extremes": OfOneNumber(
                lambda x: tf.maximum(x, 1) * tf.minimum(x, 1), *_LINE
            ),
            "sinc": OfOneNumber(ops.sinc, *_SINC),
            "sinc by hand": OfOneNumber(
                lambda x: tf.where(tf.equal(x, 0), tf.ones_like(x), tf.sin(x) / x),
                lambda x: _sinc(x / math.pi, 1) / math.pi,
                lambda x: _sinc(x / math.pi, 2) / math.pi**2,
            ),
            "NumPy's sinc": OfOneNumber(tf.experimental.numpy.sinc, *_SINC),
        },
    ),
    "factors of 0": Group(
        [0, 0.5, 1, -2, 1e-30],
        {
            "prod": OfOneNumber(
                lambda x: ops.prod(_beside(x, 1 - x), axis=1, keepdims=True), *_PRODUCT
            ),
            "prod of no axes": OfOneNumber(
                lambda x: tf.reduce_prod(x * (1 - x), axis=[]), *_PRODUCT
            ),
            "prod of two axes": OfOneNumber(
                lambda x: tf.reduce_prod(
                    tf.stack([_beside(x, 1 - x), 1 + 0 * _beside(x, x)], 1), [1, 2]
                ),
                *_PRODUCT,
            ),
            "cumprod": OfOneNumber(
                lambda x: ops.cumprod(_beside(x, 1 - x), axis=1)[:, 1], *_PRODUCT
            ),
            "cumprod, backwards": OfOneNumber(
                lambda x: tf.math.cumprod(_beside(x, 1 - x), axis=1, reverse=True)[:, 0], *_PRODUCT
            ),
            "cumprod, exclusive": OfOneNumber(
                lambda x: tf.math.cumprod(_beside(x, 1 - x, x), axis=1, exclusive=True)[:, 2],
                *_PRODUCT,
            ),
            "segment_prod": OfOneNumber(
                _in_one_segment(lambda x: tf.math.segment_prod(x, [0, 0])), *_PRODUCT
            ),
            "unsorted_segment_prod": OfOneNumber(
                _in_one_segment(lambda x: tf.math.unsorted_segment_prod(x, [0, 0], 1)), *_PRODUCT
            ),
            "x ** 0": OfOneNumber(lambda x: x**0, lambda x: 0 * x, lambda x: 0 * x),
            "x ** 1": OfOneNumber(lambda x: x**1, *_LINE),
            "x ** 2": OfOneNumber(lambda x: x**2, *_SQUARE),
            "x ** 3": OfOneNumber(lambda x: x**3, lambda x: 3 * x**2, lambda x: 6 * x),
            "xlogy": OfOneNumber(
                lambda x: tf.math.xlogy(x, 0 * x + 2), lambda x: ln2 + 0 * x, lambda x: 0 * x
            ),
            "xlogy of 0": OfOneNumber(
                lambda x: tf.math.xlogy(0 * x, x), lambda x: 0 * x, lambda x: 0 * x
            ),
            "xdivy": OfOneNumber(
                lambda x: tf.math.xdivy(x, x + 3),
                lambda x: 3 / (x + 3) ** 2,
                lambda x: -6 / (x + 3) ** 3,
            ),
        },
    ),
    "0 / 0 that cancels": Group(
        [0, 1e-30, 1e-4, -1e-4],
        {  # power series, of which the next terms are less than 1e-9
            "xlog1py": OfOneNumber(
                lambda x: tf.math.xlog1py(x, x),
                lambda x: 2 * x - 3 / 2 * x**2,
                lambda x: 2 - 3 * x + 4 * x**2,
            ),
            "i0": OfOneNumber(ops.i0, lambda x: x / 2, lambda x: 1 / 2 + 3 / 16 * x**2),
            "i1": OfOneNumber(
                tf.math.bessel_i1, lambda x: 1 / 2 + 3 / 16 * x**2, lambda x: 3 / 8 * x
            ),
            "j0": OfOneNumber(
                tf.math.special.bessel_j0, lambda x: -x / 2, lambda x: -1 / 2 + 3 / 16 * x**2
            ),
            "j1": OfOneNumber(
                tf.math.special.bessel_j1, lambda x: 1 / 2 - 3 / 16 * x**2, lambda x: -3 / 8 * x
            ),
            "spence": OfOneNumber(
                lambda x: tf.math.special.spence(1 + x),
                lambda x: -1 + x / 2 - x**2 / 3,
                lambda x: 1 / 2 - 2 / 3 * x + 3 / 4 * x**2,
            ),
        },
    ),
    "tails that are powers": Group(
        [40, 100, 300, 1e4],
        {
            "i0e": _of_powers(tf.math.bessel_i0e, 0.5, _hankel(0, -1) / np.sqrt(2 * np.pi)),
            "i1e": _of_powers(tf.math.bessel_i1e, 0.5, _hankel(1, -1) / np.sqrt(2 * np.pi)),
            "k0e": _of_powers(tf.math.special.bessel_k0e, 0.5, _hankel(0, 1) * np.sqrt(np.pi / 2)),
            "k1e": _of_powers(tf.math.special.bessel_k1e, 0.5, _hankel(1, 1) * np.sqrt(np.pi / 2)),
            "dawsn": _of_powers(
                tf.math.special.dawsn, 1, [1 / 2, 0, 1 / 4, 0, 3 / 8, 0, 15 / 16, 0, 105 / 32]
            ),
        },
    ),
    "behind a where, at its edge": Group(
        [0, -1, 4, 0.25, -1e-3],
        {
            "root times sine": _above(
                lambda x: tf.sqrt(x) * tf.sin(x),
                lambda x: np.sin(x) / (2 * np.sqrt(x)) + np.sqrt(x) * np.cos(x),
                lambda x: (
                    np.cos(x) / np.sqrt(x) - np.sin(x) / (4 * x**1.5) - np.sqrt(x) * np.sin(x)
                ),
            ),
            "x log x": _above(
                lambda x: x * tf.math.log(x), lambda x: np.log(x) + 1, lambda x: 1 / x
            ),
            "bump": _above(
                lambda x: tf.exp(-1 / x),
                lambda x: np.exp(-1 / x) / x**2,
                lambda x: np.exp(-1 / x) * (1 / x**4 - 2 / x**3),
            ),
            "root of a distance": _above(
                lambda x: 1 / tf.sqrt(x + x**3),
                lambda x: -(1 + 3 * x**2) / 2 * (x + x**3) ** -1.5,
                lambda x: (
                    -3 * x * (x + x**3) ** -1.5 + 0.75 * (1 + 3 * x**2) ** 2 * (x + x**3) ** -2.5
                ),
            ),
            "norm": OfOneNumber(
                lambda x: tf.where(x[:, 0] > 0, tf.norm(_beside(x, x**2), axis=1), 0),
                lambda x: above(x, lambda x: (1 + 2 * x**2) / np.hypot(1, x)),
                lambda x: above(x, lambda x: x * (2 * x**2 + 3) / np.hypot(1, x) ** 3),
            ),
        },
    ),
    "behind a where": Group(
        [-1, 4, 0.25, -100],
        {
            "root": OfOneNumber(
                lambda x: tf.where(x > 0, tf.sqrt(x), 0),
                lambda x: below(x, 0, 0.5 / np.sqrt(np.abs(x))),
                lambda x: below(x, 0, -0.25 * np.abs(x) ** -1.5),
            ),
            "root in an activation": OfOneNumber(
                lambda x: tf.where(x > 0, tf.nn.leaky_relu(tf.sqrt(x)), 0),
                lambda x: below(x, 0, 0.5 / np.sqrt(np.abs(x))),
                lambda x: below(x, 0, -0.25 * np.abs(x) ** -1.5),
            ),
            "root on the other side": OfOneNumber(
                lambda x: tf.where(x < 0, x**2, tf.sqrt(x)),
                lambda x: below(x, 2 * x, 0.5 / np.sqrt(np.abs(x))),
                lambda x: below(x, 2, -0.25 * np.abs(x) ** -1.5),
            ),
            "root of what is cut off": OfOneNumber(
                lambda x: tf.where(x > 10, tf.sqrt(tf.nn.relu(x)), x**3),
                lambda x: 3 * x**2,
                lambda x: 6 * x,
            ),
            "exponential of a root": OfOneNumber(
                lambda x: tf.where(x > 0, tf.exp(-tf.sqrt(tf.maximum(x, 0))), x),
                lambda x: below(x, 1, -0.5 * np.exp(-np.sqrt(np.abs(x))) / np.sqrt(np.abs(x))),
                lambda x: below(
                    x,
                    0,
                    np.exp(-np.sqrt(np.abs(x))) * (1 / np.abs(x) + np.abs(x) ** -1.5) / 4,
                ),
            ),
            "logarithm": OfOneNumber(
                lambda x: tf.where(x > 0, x * tf.math.log(tf.nn.relu(x)), 0),
                lambda x: below(x, 0, np.log(np.abs(x)) + 1),
                lambda x: below(x, 0, 1 / np.abs(x)),
            ),
        },
    ),
}


def _left_out(x: Array, *places: int) -> Array:
    return np.prod(np.delete(x, places, axis=1), axis=1)


def _product_gradient(x: Array) -> Array:
    return np.stack([_left_out(x, i) for i in range(x.shape[1])], axis=1)


def _product_hessian(x: Array) -> Array:
    d = x.shape[1]
    found = np.zeros((len(x), d, d))
    for i, j in itertools.permutations(range(d), 2):
        found[:, i, j] = _left_out(x, i, j)
    return found


def _minor(a: Array, rows: Sequence[int], columns: Sequence[int]) -> float:
    """The determinant without some rows and columns, with the sign of their order."""
    rest = np.delete(np.delete(a, rows, axis=0), columns, axis=1)
    swapped = sum(np.diff(order)[0] < 0 for order in (rows, columns) if len(order) == 2)
    return (-1) ** (sum(rows) + sum(columns) + swapped) * float(
        np.linalg.det(rest) if len(rest) else 1
    )


def _det_gradient(x: Array) -> Array:
    n = math.isqrt(x.shape[1])
    entries = list(itertools.product(range(n), repeat=2))
    return np.array([[_minor(a, [i], [j]) for i, j in entries] for a in x.reshape(-1, n, n)])


def _det_hessian(x: Array) -> Array:
    n = math.isqrt(x.shape[1])
    entries = list(itertools.product(range(n), repeat=2))
    return np.array(
        [
            [
                [0 if i == k or j == m else _minor(a, [i, k], [j, m]) for k, m in entries]
                for i, j in entries
            ]
            for a in x.reshape(-1, n, n)
        ]
    )


def _determinant_of(n: int) -> OfSeveral:
    """Determinants of integer matrices that are regular, or lack up to all their rank."""
    rng = np.random.default_rng(n)
    ranks = [n, n - 1, max(n - 2, 0), max(n - 4, 0)]
    points = [
        (rng.integers(-2, 3, (n, rank)) @ rng.integers(-2, 3, (rank, n))).ravel() for rank in ranks
    ]
    return OfSeveral(
        lambda x: ops.det(ops.reshape(x, (-1, n, n))), points, _det_gradient, _det_hessian
    )


def _softmax_gradient(x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.exp(x - np.logaddexp.reduce(x, axis=1, keepdims=True))


def _softmax_hessian(x: Array) -> Array:
    p = _softmax_gradient(x)
    return p[:, :, None] * np.eye(x.shape[1]) - p[:, :, None] * p[:, None, :]


def _angle_gradient(x: Array) -> Array:
    """Of `atan2(b, a)` by `(b, a)`."""
    r = np.hypot(*x.T)[:, None]
    return x[:, ::-1] / r * [1, -1] / r


def _angle_hessian(x: Array) -> Array:
    by_b, by_a = _angle_gradient(x).T
    mixed = by_a**2 - by_b**2
    return np.stack([2 * by_b * by_a, mixed, mixed, -2 * by_b * by_a], axis=1).reshape(-1, 2, 2)


def _probability_gradient(x: Array) -> Array:
    """Of the first number of `softmax`."""
    p = _softmax_gradient(x)
    return p[:, :1] * (np.eye(x.shape[1])[0] - p)


def _probability_hessian(x: Array) -> Array:
    """`p₀ (d dᵀ - H)`, with `d = e₀ - p` and the Hessian `H` of the logarithm of the sum."""
    away = np.eye(x.shape[1])[0] - _softmax_gradient(x)
    outer = away[:, :, None] * away[:, None, :]
    return _softmax_gradient(x)[:, 0, None, None] * (outer - _softmax_hessian(x))


def _hypot_hessian(x: Array) -> Array:
    across = np.stack([x[:, 1], -x[:, 0]], axis=1)
    return across[:, :, None] * across[:, None, :] / np.hypot(*x.T)[:, None, None] ** 3


INF = float("inf")


def _sine_times_hessian(x: np.ndarray) -> np.ndarray:
    """Of `sin(x) y`."""
    a, b = x.T
    mixed = np.cos(a)
    return np.stack([np.stack([-np.sin(a) * b, mixed], 1), np.stack([mixed, 0 * a], 1)], 1)


OF_SEVERAL = {
    "prod": OfSeveral(
        lambda x: ops.prod(x, axis=1),
        [[0, 2, 3, 1], [0, 0, 3, 2], [0, 0, 0, 2], [1, 2, 3, 4]],
        _product_gradient,
        _product_hessian,
    ),
    "cumprod": OfSeveral(
        lambda x: ops.cumprod(x, axis=1)[:, -1],
        [[0, 2, 3], [0, 0, 3], [0, 0, 0], [1, 0, 3]],
        _product_gradient,
        _product_hessian,
    ),
    "logaddexp": OfSeveral(
        lambda x: ops.logaddexp(x[:, 0], x[:, 1]),
        [[1, 1], [0, 0], [-3, -3], [1, 2]],
        _softmax_gradient,
        _softmax_hessian,
    ),
    "cumulative_logsumexp": OfSeveral(
        lambda x: tf.math.cumulative_logsumexp(x, axis=1)[:, -1],
        [[0, 100, 0], [100, 0, 99], [5, 5, 5], [-INF, 0, 1], [-INF, -INF, 1], [-100, 100, 0]],
        _softmax_gradient,
        _softmax_hessian,
    ),
    "logsumexp": OfSeveral(
        lambda x: ops.logsumexp(x, axis=1),
        [[0, 100, 0], [5, 5, 5], [-INF, 0, 1], [-INF, -INF, 1]],
        _softmax_gradient,
        _softmax_hessian,
    ),
    "softmax": OfSeveral(
        lambda x: tf.nn.softmax(x)[:, 0],
        [[0, -INF, 1], [-INF, 0, 1], [-INF, -INF, 1], [0, 0, 0], [-100, 0, 0]],
        _probability_gradient,
        _probability_hessian,
    ),
    "log_softmax": OfSeveral(
        lambda x: tf.nn.log_softmax(x)[:, 2],
        [[0, -INF, 1], [-INF, 0, 1], [-INF, -INF, 1], [0, 0, 0], [-100, 0, 0]],
        lambda x: np.eye(3)[2] - _softmax_gradient(x),
        lambda x: -_softmax_hessian(x),
    ),
    "atan2": OfSeveral(
        lambda x: tf.math.atan2(x[:, 0], x[:, 1]),
        [[0, 1], [0, -1], [1, 0], [-1, 0], [-0.0, -1], [1, 1], [3e-3, -4e-3]],
        _angle_gradient,
        _angle_hessian,
    ),
    "sum of nothing": OfSeveral(
        lambda x: tf.reduce_sum(tf.exp(x[:, 2:]), axis=1) + tf.sin(x[:, 0]) * x[:, 1],
        [[0, 2], [-2, 0], [3, 4]],
        lambda x: np.stack([np.cos(x[:, 0]) * x[:, 1], np.sin(x[:, 0])], axis=1),
        _sine_times_hessian,
    ),
    "beside the logarithm of a sum of nothing": OfSeveral(
        lambda x: tf.maximum(tf.reduce_logsumexp(x[:, 2:], axis=1), tf.sin(x[:, 0]) * x[:, 1]),
        [[0, 2], [-2, 0], [3, 4]],
        lambda x: np.stack([np.cos(x[:, 0]) * x[:, 1], np.sin(x[:, 0])], axis=1),
        _sine_times_hessian,
    ),
    "euclidean norm": OfSeveral(
        lambda x: tf.math.reduce_euclidean_norm(x, axis=1),
        [[0, 2], [-2, 0], [3, 4]],
        lambda x: x / np.hypot(*x.T)[:, None],
        _hypot_hessian,
    ),
    "hypot": OfSeveral(
        lambda x: ops.hypot(x[:, 0], x[:, 1]),
        [[1, 1], [1, -1], [-2, -2], [0, 2], [-2, 0], [3, 4]],
        lambda x: x / np.hypot(*x.T)[:, None],
        _hypot_hessian,
    ),
    **{f"det of {n} rows": _determinant_of(n) for n in (1, 2, 3, 4, 5)},
}

KINKS = {
    "relu": (tf.nn.relu, 0, 0),
    "abs": (tf.abs, 0, 1),
    "leaky_relu": (lambda x: tf.nn.leaky_relu(x, 0.25), 0, 0.25),
    "relu6": (tf.nn.relu6, 6, 0),
    "maximum": (lambda x: tf.maximum(x, -x), 0, 1),
    "minimum": (lambda x: tf.minimum(x, -x), 0, -1),
    "clip at its lower end": (lambda x: tf.clip_by_value(x, -1, 1), -1, 1),
    "clip at its upper end": (lambda x: tf.clip_by_value(x, -1, 1), 1, 0),
    "max": (lambda x: tf.reduce_max(_beside(x, -x), 1), 0, 0),
    "min": (lambda x: tf.reduce_min(_beside(x, 3 * x), 1), 0, 2),
    "max_pool": (
        lambda x: tf.nn.max_pool1d(_beside(x, -x)[:, :, None], 2, 2, "VALID")[:, 0],
        0,
        1,
    ),
    "top_k": (lambda x: tf.math.top_k(_beside(x, -x), 1)[0], 0, 1),
    "sort": (lambda x: tf.sort(_beside(x, -x), axis=1)[:, 1], 0, -1),
    "entropy": (lambda x: tf.math.xlogy(x, x), 0, 0),  # nothing is left where both are 0
    "quotient": (lambda x: tf.math.divide_no_nan(x, x**2), 0, 0),
    "modulus": (lambda x: tf.abs(tf.complex(x, 0 * x)), 0, 0),
    "median": (lambda x: ops.median(_beside(-x, x, 3 * x), 1), 0, 1),
    "hard_sigmoid": (ops.hard_sigmoid, 3, 0),
    "soft_shrink": (lambda x: tf.where(x > 0.5, x - 0.5, 0), 0.5, 0),
}
"""Function, where it has no derivative, and the slope that is taken there."""

_MATRICES = [[2.0, 1, 0, 1], [1, 2, 2, 4], [0, 1, -1, 3]]
_DEFINITE = [[2.0, 1, 1, 3], [1, 2, 2, 1], [4, 0, 0, 1]]


def _of_matrices(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def summed(x: Any) -> Any:
        found = function(tf.reshape(x, (-1, 2, 2)))
        return tf.reduce_sum(tf.reshape(found, (tf.shape(x)[0], -1)), axis=1)

    return summed


LOST = {
    "inverse": (_of_matrices(ops.inv), _MATRICES),
    "solution": (_of_matrices(lambda a: tf.linalg.solve(a, tf.ones_like(a))), _MATRICES),
    "logarithm of the determinant": (_of_matrices(lambda a: ops.slogdet(a)[1]), _MATRICES),
    "Cholesky factor": (_of_matrices(tf.linalg.cholesky), _DEFINITE),
    "Cholesky factor that is checked": (_of_matrices(ops.cholesky), _DEFINITE),
    "logarithm of the determinant of a definite matrix": (
        _of_matrices(tf.linalg.logdet),
        _DEFINITE,
    ),
    "probability in a row that is masked": (
        lambda x: tf.nn.softmax(x)[:, 0],
        [[0, 1, 2], [-INF, -INF, -INF], [-INF, 1, 2]],
    ),
    "logarithm of a probability in a row that is masked": (
        lambda x: tf.nn.log_softmax(x)[:, 1],
        [[0, 1, 2], [-INF, -INF, -INF], [-INF, 1, 2]],
    ),
}
"""A function and three examples: it has no value at the second."""

WITHOUT_DERIVATIVES = {
    "norm": (lambda x: tf.norm(x, axis=1), [[3, 4], [0, 0], [0, 1]]),
    "norm by Keras": (lambda x: ops.norm(x, axis=1), [[3, 4], [0, 0], [0, 1]]),
    "cubic norm": (lambda x: ops.norm(x, ord=3, axis=1), [[3, 4], [0, 0], [0, 1]]),
    "euclidean norm": (
        lambda x: tf.math.reduce_euclidean_norm(x, axis=1),
        [[3, 4], [0, 0], [0, 1]],
    ),
    "square root of a matrix": (
        _of_matrices(tf.linalg.sqrtm),
        [[2, 1, 1, 3], [1, 1, 1, 1], [4, 0, 0, 1]],
    ),
    "standard deviation": (lambda x: ops.std(x, axis=1), [[1, 2], [1, 1], [2, 1]]),
    "angle": (lambda x: tf.math.atan2(x[:, 0], x[:, 1]), [[3, 4], [0, 0], [0, 1]]),
    "logarithm of a sum of nothing": (
        lambda x: ops.logsumexp(x, axis=1),
        [[0, 1], [-INF, -INF], [-INF, 1]],
    ),
    "root": (lambda x: tf.sqrt(x[:, 0]), [[1, 0], [0, 0], [2, 0]]),
}
"""A function and three examples: it has a value at the second, and no derivative."""
