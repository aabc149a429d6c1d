"""Derivatives up to the fifth of smooth activations, and how large they get."""

from __future__ import annotations

import numpy as np

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


SIGMOID_LARGEST = (0.09622505, 0.125, 0.1277, 0.25)
"""Of its second, third, fourth and fifth derivative, rounded upwards; found where the next one is
0: b = 1/6, 1/4, (30 - sqrt(420)) / 240 and (30 + sqrt(420)) / 240, 1/4."""

SOFTPLUS = Higher(_softplus, SIGMOID_LARGEST)
SIGMOID = Higher(_sigmoid, (*SIGMOID_LARGEST[1:], np.inf))
TANH = Higher(_tanh, (16 * 0.125, 32 * 0.1277, 64 * 0.25, np.inf))
SQUARE = Higher(lambda x: [x * x, 2 * x, np.full_like(x, 2.0), *[np.zeros_like(x)] * 3], (0.0,) * 4)
