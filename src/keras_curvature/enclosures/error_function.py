"""The error function in float64, which NumPy lacks.

erfc(x) = t exp(-x^2) P(t) for x >= 0 and t = 2 / (2 + x), with P a Chebyshev series in 2 t - 1 (the
form of Press et al., Numerical Recipes, 3rd ed., 2007, section 6.2.2; the coefficients were found
in 40 digits with mpmath).
"""

from __future__ import annotations

import numpy as np

from keras_curvature.typing import Array

SERIES = (
    *(0.5770337386164697, 0.3554369212704985, 0.06509515882878653, 0.003671142395836639),
    *(-0.0011128447433526325, -0.0001607582991537808, 3.278031574173137e-05),
    *(5.442441645505016e-06, -1.5154665553171482e-06, -1.4297608181169865e-07),
    *(8.234608827419493e-08, -1.2962846852306563e-09, -4.154721631015199e-09),
    *(6.347058278362811e-10, 1.4320822812256225e-10, -6.160390105204585e-11),
    *(2.0612138554721698e-12, 3.5714931488477042e-12, -8.586422843251796e-13),
    *(-6.14560021379063e-14, 7.418725748596617e-14, -1.2895042755032325e-14),
    *(-2.358726385710632e-15, 1.5729349381685912e-15, -2.2782966239546465e-16),
    *(-6.31233045075643e-17, 3.5916763531814925e-17, -5.049809149847729e-18),
)


def bell(x: Array, half: bool = False) -> Array:
    """exp(-x^2), or exp(-x^2 / 2), without what rounding the square does to it."""
    share = 0.5 if half else 1.0
    near = np.clip(x, -1e19, 1e19).astype(np.float32).astype(np.float64)
    return np.exp(-share * near * near) * np.exp(share * (near - x) * (near + x))


def erfc(x: Array) -> Array:
    """1 - erf(x), precise for large numbers."""
    far = np.minimum(np.abs(x), 40.0)  # beyond which it is 0
    t = 2 / (2 + far)
    found = t * bell(far) * np.polynomial.chebyshev.chebval(2 * t - 1, SERIES)
    return np.where(x < 0, 2 - found, found)


def erf(x: Array) -> Array:
    """1 - erfc(x), off by a unit of 1."""
    return np.copysign(1 - erfc(np.abs(x)), x)
