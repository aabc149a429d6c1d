"""Derivatives up to the fifth of smooth activations, and where they turn."""

from __future__ import annotations

import math

import numpy as np

from keras_curvature.enclosures.error_function import bell, erfc
from keras_curvature.enclosures.taylor_model import Higher
from keras_curvature.typing import Array


def _sigmoid(x: Array) -> list[Array]:
    """And its derivatives: polynomials in b = s (1 - s), half of them times t = 1 - 2 s.

    By b' = b t and t' = -2 b, with t² = 1 - 4 b.
    """
    e = np.exp(-np.abs(x))
    s = np.where(x >= 0, 1 / (1 + e), e / (1 + e))
    b, t = e / (1 + e) ** 2, -np.tanh(x / 2)
    return [
        s,
        b,
        b * t,
        b * (1 - 6 * b),
        b * t * (1 - 12 * b),
        b * (1 - 30 * b + 120 * b * b),
    ]


def _softplus(x: Array) -> list[Array]:
    value = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return [value, *_sigmoid(x)[:5]]


def _tanh(x: Array) -> list[Array]:
    """As 2 s(2 x) - 1."""
    return [np.tanh(x), *(2.0 ** (k + 1) * y for k, y in enumerate(_sigmoid(2 * x)) if k)]


def _silu(x: Array) -> list[Array]:
    s = _sigmoid(x)
    return [x * s[0], *(x * s[k] + k * s[k - 1] for k in range(1, 6))]


def _gelu(x: Array) -> list[Array]:
    normal = bell(x, half=True) / math.sqrt(2 * math.pi)
    below = erfc(-x * math.sqrt(0.5)) / 2
    polynomials = (2 - x**2, x**3 - 4 * x, -(x**4) + 7 * x**2 - 4, x**5 - 11 * x**3 + 18 * x)
    return [x * below, below + x * normal, *(normal * p for p in polynomials)]


def _both(*places: float) -> tuple[float, ...]:
    """On both sides of 0."""
    return tuple(sorted({sign * place for place in places for sign in (-1.0, 1.0)}))


ZEROS = {
    3: _both(1.3169578969248167086),
    4: _both(0.0, 2.2924316695611776878),
    5: _both(0.84263294812937664177, 3.1443184061549304425),
    6: _both(0.0, 1.5133518472923349931, 3.9360983706738153612),
}
"""Of the derivatives of the sigmoid; these and those below in 40 digits with mpmath."""

SOFTPLUS = Higher(_softplus, (ZEROS[3], ZEROS[4], ZEROS[5]))
SIGMOID = Higher(_sigmoid, (ZEROS[4], ZEROS[5], ZEROS[6]))
HALF_WAY = {k: tuple(x / 2 for x in zeros) for k, zeros in ZEROS.items()}
TANH = Higher(_tanh, (HALF_WAY[4], HALF_WAY[5], HALF_WAY[6]))
SILU = Higher(
    _silu,
    (
        _both(1.0319582417807491234, 4.4292351005572279796),
        _both(0.0, 1.8197756117250127265, 5.4008187394952158684),
        _both(0.71774192314656655792, 2.5062894864027523932, 6.3619922836816901434),
    ),
)
GELU = Higher(
    _gelu,
    (
        _both(0.79228699139326127779, 2.5243377989621385713),
        _both(0.0, math.sqrt(2), 3.0),
        _both(0.63441647503971773843, 1.945887804557084138, 3.4367188404456641445),
    ),
)
SQUARE = Higher(
    lambda x: [x * x, 2 * x, np.full_like(x, 2.0), *[np.zeros_like(x)] * 3], ((), (), ())
)
