"""The weights of central differences, and what truncation and rounding leave of them."""

from __future__ import annotations

import math

import numpy as np

from keras_curvature.typing import Array


def first_weights(order: int) -> Array:
    """Weights `a_k` of `(f(kh) - f(-kh)) / h`, k = 1..order/2, in the first derivative.

    Fornberg, Generation of finite difference formulas on arbitrarily spaced grids,
    Mathematics of Computation 51 (1988).
    """
    p = _half(order)
    return np.array(
        [
            (-1) ** (k + 1)
            * math.factorial(p) ** 2
            / (k * math.factorial(p - k) * math.factorial(p + k))
            for k in range(1, p + 1)
        ]
    )


def second_weights(order: int) -> Array:
    """Weights `b_k` of `(f(kh) - 2 f(0) + f(-kh)) / h**2` in the second derivative."""
    return 2 * first_weights(order) / np.arange(1, _half(order) + 1)


def weights(derivative: int, pairs: int) -> Array:
    """Weights of a derivative of order 1 to 4 over so many pairs of values, see the two above.

    Of the pairs of odd orders the difference is taken, of those of even orders the second one.
    Orders 3 and 4 are of Fornberg's tables, for 3 and 4 pairs.
    """
    if derivative <= 2:
        return (first_weights, second_weights)[derivative - 1](2 * pairs)
    third = np.array(_THIRD[pairs])
    return third if derivative == 3 else 4 * third / np.arange(1, pairs + 1)


_THIRD = {3: (-13 / 8, 1, -1 / 8), 4: (-61 / 30, 169 / 120, -3 / 10, 7 / 240)}


def truncation(order: int) -> float:
    """Factor of `h**order * f^(order + 2)` in the error of the second difference."""
    p = _half(order)
    return 2 * math.factorial(p) ** 2 / math.factorial(2 * p + 2)


def weight(order: int) -> float:
    """Factor of `(error of a value) / h**2` in the error of the second difference."""
    weights = np.abs(second_weights(order))
    return float(4 * weights.sum())


def rounding_bound(h: float, order: int, size: float) -> float:
    """What rounding can do to a second difference of values of the given size.

    A network's value is off by several units in the last place, not by one: the factor
    4 covers every case of the table.
    """
    return 4 * weight(order) * np.finfo(np.float64).eps * size / h**2


def _half(order: int) -> int:
    if order < 2 or order % 2:
        raise ValueError(f"`order` must be even and at least 2. Received: {order}.")
    return order // 2
