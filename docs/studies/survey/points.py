"""What is surveyed at special points: 0, edges and ties, saturated units, factors of 0, masks.

Each function is written twice: in `keras.ops` and in mpmath. The truth is a central difference of
the second in 700 digits, so that a tail of 1e-300 is known as well as everything else. Where
differences from both sides are not the same, there is no derivative and no truth.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import mpmath
import numpy as np
from keras import ops

mpmath.mp.dps = 700


POINTS = (0.0, 1.0, -1.0, 2.5, -3.0, 6.0, 16.0, -16.0, 20.0, -20.0, 30.0, -30.0)
"""Where functions of one number are looked at: 0, edges of piecewise ones, saturated units."""


@dataclass(frozen=True)
class AtPoints:
    """A function at its special points.

    Attributes:
        id: of the function.
        function: from `(n, d)` to `(n,)`, of the backend's tensors.
        z: the points, `(n, d)`.
        v: directions, `(n, d)`.
        first: the first derivative along them, `(n,)`; NaN where there is none.
        second: the second derivative along them.
    """

    id: str
    function: Callable[[Any], Any]
    z: np.ndarray
    v: np.ndarray
    first: np.ndarray
    second: np.ndarray


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _softplus(x: Any) -> Any:
    return mpmath.log(1 + mpmath.exp(x))


def _either(edge: float, below: Callable[[Any], Any], above: Callable[[Any], Any]) -> Any:
    return lambda x: below(x) if x < edge else above(x)


def _zero(_: Any) -> Any:
    return mpmath.mpf(0)


def _same(x: Any) -> Any:
    return x


_EXPM1 = mpmath.expm1
_SELU = (mpmath.mpf("1.0507009873554805"), mpmath.mpf("1.6732632423543772"))
A = keras.activations

ROUNDING = mpmath.mpf(10) ** -400
"""Of the difference of a straight line in so many digits; float64 ends at 1e-308."""

SIDES = mpmath.mpf(10) ** -20
"""How far differences of steps of 1e-100 and less, from left and right, differ by their step."""

OF_ONE_NUMBER: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "celu": (A.celu, _either(0, _EXPM1, _same)),
    "elu": (A.elu, _either(0, _EXPM1, _same)),
    "exponential": (A.exponential, mpmath.exp),
    "gelu": (
        lambda x: ops.gelu(x, approximate=False),
        lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    ),
    "gelu[approximate]": (
        lambda x: ops.gelu(x, approximate=True),
        lambda x: x * _sigmoid(2 * mpmath.sqrt(2 / mpmath.pi) * (x + 0.044715 * x**3)),
    ),
    "hard_sigmoid": (
        A.hard_sigmoid,
        lambda x: min(max(x / 6 + mpmath.mpf("0.5"), 0), 1) * 1,
    ),
    "leaky_relu": (A.leaky_relu, _either(0, lambda x: x / 5, _same)),
    "linear": (A.linear, _same),
    "log_sigmoid": (A.log_sigmoid, lambda x: -_softplus(-x)),
    "mish": (A.mish, lambda x: x * mpmath.tanh(_softplus(x))),
    "relu": (A.relu, _either(0, _zero, _same)),
    "relu6": (A.relu6, lambda x: min(max(x, 0), 6) * 1),
    "selu": (
        A.selu,
        _either(0, lambda x: _SELU[0] * _SELU[1] * _EXPM1(x), lambda x: _SELU[0] * x),
    ),
    "sigmoid": (A.sigmoid, _sigmoid),
    "silu": (A.silu, lambda x: x * _sigmoid(x)),
    "softplus": (A.softplus, _softplus),
    "softsign": (A.softsign, lambda x: x / (1 + abs(x))),
    "sparse_plus": (
        A.sparse_plus,
        lambda x: mpmath.mpf(0) if x <= -1 else x if x >= 1 else (x + 1) ** 2 / 4,
    ),
    "squareplus": (A.squareplus, lambda x: (x + mpmath.sqrt(x**2 + 4)) / 2),
    "tanh": (A.tanh, mpmath.tanh),
    "tanh_shrink": (A.tanh_shrink, lambda x: x - mpmath.tanh(x)),
    "abs": (ops.abs, abs),
    "abs squared": (lambda x: ops.square(ops.abs(x)), lambda x: x**2),
    "arcsinh": (ops.arcsinh, mpmath.asinh),
    "arctan": (ops.arctan, mpmath.atan),
    "cos of abs": (lambda x: ops.cos(ops.abs(x)), mpmath.cos),
    "cosh of a 16th": (lambda x: ops.cosh(x / 16), lambda x: mpmath.cosh(x / 16)),
    "erf": (ops.erf, mpmath.erf),
    "expm1": (ops.expm1, _EXPM1),
    "hypot with 1": (lambda x: ops.hypot(x, ops.ones_like(x)), lambda x: mpmath.sqrt(x**2 + 1)),
    "logaddexp with 0": (lambda x: ops.logaddexp(x, ops.zeros_like(x)), _softplus),
    "power 2": (lambda x: ops.power(x, 2.0), lambda x: x**2),
    "power 3": (lambda x: ops.power(x, 3), lambda x: x**3),
    "sinc": (ops.sinc, mpmath.sincpi),
    "x tanh x": (lambda x: x * ops.tanh(x), lambda x: x * mpmath.tanh(x)),
    "sign times square": (
        lambda x: ops.sign(x) * ops.square(x),
        lambda x: mpmath.sign(x) * x**2,
    ),
    "x log x behind where": (
        lambda x: ops.where(x > 0, x * ops.log(ops.where(x > 0, x, ops.ones_like(x))), 0.0),
        _either(0, _zero, lambda x: x * mpmath.log(x) if x else mpmath.mpf(0)),
    ),
    "root behind where": (
        lambda x: ops.where(x > 1.5, ops.sqrt(x), ops.zeros_like(x)),
        _either(1.5, _zero, mpmath.sqrt),
    ),
}
"""Name: in `keras.ops` and in mpmath."""


def _mean(x: Sequence[Any]) -> Any:
    return mpmath.fsum(x) / len(x)


def _variance(x: Sequence[Any]) -> Any:
    return _mean([(a - _mean(x)) ** 2 for a in x])


def _norm(x: Sequence[Any]) -> Any:
    return mpmath.sqrt(mpmath.fsum(a**2 for a in x))


def _logsumexp(x: Sequence[Any]) -> Any:
    return mpmath.log(mpmath.fsum(map(mpmath.exp, x)))


def _softmax(x: Sequence[Any], k: int) -> Any:
    return mpmath.exp(x[k] - _logsumexp(x))


def _cumulated(x: Sequence[Any]) -> Any:
    return mpmath.fsum(mpmath.fprod(x[: k + 1]) for k in range(len(x)))


def _matrix(x: Any) -> Any:
    return ops.reshape(x, (-1, 2, 2))


_MASKED = np.array([True, True, False, True])
_SCORES = ((0.0, 20.0, -20.0, 1.0), (0.0, 30.0, -30.0, 29.0), (16.0, -16.0, 1.0, 1.0))

OF_SEVERAL: Mapping[
    str, tuple[Callable[[Any], Any], Callable[[Sequence[Any]], Any], Sequence[Any]]
] = {
    "cumprod of a zero": (
        lambda x: ops.sum(ops.cumprod(x, axis=1), axis=1),
        _cumulated,
        ((0, 2, 3, 1), (2, 0, 3, 0), (0, 0, 0, 1)),
    ),
    "det of a singular matrix": (
        lambda x: ops.det(_matrix(x)),
        lambda x: x[0] * x[3] - x[1] * x[2],
        ((1, 2, 2, 4), (0, 0, 0, 0), (1, 0, 0, 0)),
    ),
    "hypot at 0": (lambda x: ops.hypot(x[:, 0], x[:, 1]), _norm, ((0, 0),)),
    "log_softmax, saturated": (
        lambda x: ops.log_softmax(x)[:, 0],
        lambda x: x[0] - _logsumexp(x),
        _SCORES,
    ),
    "logsumexp, saturated": (lambda x: ops.logsumexp(x, axis=1), _logsumexp, _SCORES),
    "max at a tie": (lambda x: ops.max(x, axis=1), max, ((1, 1, 0),)),
    "maximum at a tie": (lambda x: ops.maximum(x[:, 0], x[:, 1]), max, ((1, 1),)),
    "norm at 0": (lambda x: ops.norm(x, axis=1), _norm, ((0, 0, 0),)),
    "prod of zeros": (
        lambda x: ops.prod(x, axis=1),
        mpmath.fprod,
        ((0, 2, 3, 4), (0, 0, 3, 4), (0, 0, 0, 4), (0, 0, 0, 0)),
    ),
    "softmax, saturated": (lambda x: ops.softmax(x)[:, 0], lambda x: _softmax(x, 0), _SCORES),
    "softmax behind a mask": (
        lambda x: ops.softmax(ops.where(ops.convert_to_tensor(_MASKED), x, -1e9))[:, 0],
        lambda x: _softmax([x[0], x[1], x[3]], 0),
        ((0.5, 1, 7, -1), (0, 20, 3, 1)),
    ),
    "sort at a tie": (
        lambda x: ops.sort(x, axis=1)[:, 0] ** 2,
        lambda x: min(x) ** 2,
        ((1, 1, 1),),
    ),
    "std of equal numbers": (
        lambda x: ops.std(x, axis=1),
        lambda x: mpmath.sqrt(_variance(x)),
        ((1, 1, 1),),
    ),
    "var of equal numbers": (lambda x: ops.var(x, axis=1), _variance, ((1, 1, 1), (0, 0, 0))),
    "squared norm over itself": (
        lambda x: ops.sum(x**2, axis=1) / (1 + ops.norm(x, axis=1) ** 2),
        lambda x: mpmath.fsum(a**2 for a in x) / (1 + mpmath.fsum(a**2 for a in x)),
        ((1, 2, 3),),
    ),
    "binary cross entropy of logits, saturated": (
        lambda x: ops.binary_crossentropy(ops.zeros_like(x) + 0.25, x, from_logits=True)[:, 0],
        lambda x: _softplus(x[0]) - x[0] / 4,
        ((0,), (20,), (-20,), (30,), (-30,)),
    ),
}
"""Name: in `keras.ops`, in mpmath, and the points."""


def special_points() -> Mapping[str, Callable[[], AtPoints]]:
    """Each function by its id, and what finds the truth at its points, which takes a while."""
    z = np.array(POINTS)[:, None]
    found: dict[str, Callable[[], AtPoints]] = {}
    for name, (function, exact) in OF_ONE_NUMBER.items():
        of_row = functools.partial(_of_row, exact)
        parts = name, _column(function), of_row, z, np.ones_like(z)
        found[name] = functools.partial(_with_truth, *parts)
    for name, (function, exact, points) in OF_SEVERAL.items():
        z = np.array(points, dtype="float64")
        v = np.array([[1, -2, 3, 0.5]])[:, : z.shape[1]] + 0 * z
        found[name] = functools.partial(_with_truth, name, function, exact, z, v)
    return found


def _with_truth(
    id: str,
    function: Callable[[Any], Any],
    exact: Callable[[Sequence[Any]], Any],
    z: np.ndarray,
    v: np.ndarray,
) -> AtPoints:
    rows = [_at(exact, a, b) for a, b in zip(z, v, strict=True)]
    first, second = np.array(rows).T
    return AtPoints(id, function, z, v, first, second)


def _of_row(exact: Callable[[Any], Any], row: Sequence[Any]) -> Any:
    return exact(row[0])


def _column(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x)[:, 0]


def _at(exact: Callable[[Sequence[Any]], Any], z: np.ndarray, v: np.ndarray) -> tuple[float, float]:
    def line(t: Any) -> Any:
        return exact([mpmath.mpf(a) + t * mpmath.mpf(b) for a, b in zip(z, v, strict=True)])

    first, second = (_both_sides(line, order) for order in (1, 2))
    return first, second if np.isfinite(first) else np.nan


def _both_sides(line: Callable[[Any], Any], order: int) -> float:
    """A derivative at 0, NaN where the sides differ."""
    left, right = (mpmath.diff(line, 0, order, direction=side) for side in (-1, 1))
    if abs(left - right) > SIDES * (1 + abs(left)):
        return np.nan
    centre = mpmath.diff(line, 0, order)
    return float(centre) if abs(centre) > ROUNDING else 0.0
