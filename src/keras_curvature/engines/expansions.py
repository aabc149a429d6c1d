"""Series and expansions of special functions, whose slopes keep their digits.

Far out a slope such as `I₁(x) - I₀(x)`, that of `exp(-x) I₀(x)` with its factor, is the difference
of two numbers of which nothing is left. An expansion in `1 / x` is differentiated term by term.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

TERMS = 17


def of_first_bessel(sign: int) -> list[float]:
    """Of `I₁(x) / x`, or `J₁(x) / x` for -1, in `x²` (DLMF 10.25.2, 10.2.2): up to 2."""
    return [sign**k / (2 * 4**k * math.factorial(k) * math.factorial(k + 1)) for k in range(14)]


def of_bessel_tail(order: int, sign: int) -> list[float]:
    """Of `√(2πx) exp(-x) I(x)`, or `√(2x / π) exp(x) K(x)` for 1, in `1 / x` (DLMF 10.40)."""
    terms = [1.0]
    for k in range(1, TERMS):
        terms.append(sign * terms[-1] * (4 * order**2 - (2 * k - 1) ** 2) / (8 * k))
    return terms


def of_error_tail(sign: int) -> list[float]:
    """Of `√π x exp(x²) erfc(x)`, or `2 x F(x)` of Dawson's integral for 1, in `1 / 2x²`.

    Source: DLMF 7.12.1.
    """
    return [sign**k * float(math.prod(range(1, 2 * k, 2))) for k in range(TERMS)]


def polynomial(terms: Sequence[float], x: Any) -> Any:
    """The sum of terms times powers of `x`, an array of any backend (Horner)."""
    total: Any = terms[-1]
    for term in terms[-2::-1]:
        total = term + x * total
    return total


OF_I, OF_K = 1 / math.sqrt(2 * math.pi), math.sqrt(math.pi / 2)
"""What the tails of Bessel functions are multiplied by, besides `1 / √x`."""

FAR_BESSEL = 40.0
FAR_ERROR = 12.0
"""From where the expansions have the digits of float64, for functions of the normal error too."""
