"""The functions of a number that enclosures know, each a row: f, f', f'', and where they turn."""

from __future__ import annotations

import math

import numpy as np

from keras_curvature.enclosures.functions import Break, Function
from keras_curvature.typing import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), precise on both sides."""
    return 1 / (1 + np.exp(-x))


def softplus(x: Array) -> Array:
    """log(1 + exp(x))."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sech2(x: Array) -> Array:
    e = np.exp(-2 * np.abs(x))
    return 4 * e / (1 + e) ** 2


def _bump(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


ROOT3 = 0.65847894846240835431
TANH = Function(
    (np.tanh, _sech2, lambda x: -2 * np.tanh(x) * _sech2(x)),
    ((), (0.0,), (-ROOT3, ROOT3)),
)
SIGMOID = Function(
    (sigmoid, _bump, lambda x: -_bump(x) * np.tanh(x / 2)),
    ((), (0.0,), (-2 * ROOT3, 2 * ROOT3)),
)
SOFTPLUS = Function((softplus, sigmoid, _bump), ((), (), (0.0,)))
EXP = Function((np.exp, np.exp, np.exp))
EXPM1 = Function((np.expm1, np.exp, np.exp))
LOG = Function((np.log, lambda x: 1 / x, lambda x: -1 / x**2), domain=(0.0, np.inf))
SQUARE = Function((np.square, lambda x: 2 * x, lambda x: np.full_like(x, 2.0)), ((0.0,), (), ()))
_erfc = np.frompyfunc(math.erfc, 1, 1)


def erfc(x: Array) -> Array:
    """As the C library has it."""
    return np.asarray(_erfc(x), dtype=np.float64)


def _normal(x: Array) -> Array:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _cumulated(x: Array) -> Array:
    return erfc(-x / math.sqrt(2)) / 2


SILU = Function(
    (
        lambda x: x * sigmoid(x),
        lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
        lambda x: _bump(x) * (2 - x * np.tanh(x / 2)),
    ),
    (
        (-1.2784645427610737951,),
        (-2.3993572805154676678, 2.3993572805154676678),
        (-3.435840993535110689, 0.0, 3.435840993535110689),
    ),
    noise=(0.0, 4.0, 4.0),
)
GELU = Function(
    (
        lambda x: x * _cumulated(x),
        lambda x: _cumulated(x) + x * _normal(x),
        lambda x: _normal(x) * (2 - x * x),
    ),
    ((-0.75179152469356445746,), (-math.sqrt(2), math.sqrt(2)), (-2.0, 0.0, 2.0)),
    noise=(0.0, 4.0, 4.0),
)
RELU = Function(
    (
        lambda x: np.maximum(x, 0),
        lambda x: (x > 0).astype(float),
        np.zeros_like,
    ),
    breaks=(Break(0.0, (0.0, 1.0), (0.0, 0.0)),),
)
