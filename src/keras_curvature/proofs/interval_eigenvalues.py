"""Bounds of the extreme eigenvalues of symmetric matrices of which each entry is in an interval."""

from __future__ import annotations

import numpy as np

from keras_curvature.typing import Array

ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""Of one product and sum, relative to the magnitudes in it, eightfold."""

TINY = float(np.finfo(np.float64).tiny)
"""Numbers below it have fewer digits."""


def smallest_eigenvalue(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Encloses the smallest eigenvalue of every symmetric matrix between two.

    From below by Gershgorin's circles of `QᵀHQ`, where `Q` has the eigenvectors of the matrix of
    midpoints: in them that one is diagonal, and what is left of the circles is what the intervals
    are wide. From above by `vᵀHv`, where `v` is the eigenvector of its smallest eigenvalue.

    Args:
        lower: of each entry, `(n, d, d)`, symmetric.
        upper: likewise.

    Returns:
        A lower and an upper bound, each `(n,)`, of what float64 rounds too.

    Source:
        Adjiman, Dallwig, Floudas, Neumaier, A global optimization method, αBB, for general
        twice-differentiable constrained NLPs, 1998 (Gershgorin for interval matrices, 3.2; a shift
        along eigenvectors after Hladík, Daney, Tsigaridas, Bounds on real eigenvalues and singular
        values of interval matrices, 2010).
    """
    known = np.all(np.isfinite(lower) & np.isfinite(upper), axis=(1, 2))
    safe = np.where(known[:, None, None], lower, 0), np.where(known[:, None, None], upper, 0)
    below, above = _turned(*safe)
    below = np.where(known, np.maximum(below, _unturned(*safe)), _unturned(lower, upper))
    # No eigenvalue is smallest above an entry of the diagonal.
    place = np.arange(lower.shape[-1])
    entry = upper[:, place, place].min(axis=1)
    return below, np.where(known, np.minimum(above, entry), entry)


def _turned(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Bounds of matrices whose entries all have an end, in the eigenvectors of their midpoints.

    The largest entry of each is made about 1 by a power of two, so that products neither underflow
    nor overflow. What underflows of others by that is far less than what is lost to rounding.
    """
    d = lower.shape[-1]
    place = np.arange(d)
    largest = np.maximum(np.abs(lower), np.abs(upper)).max(axis=(1, 2))
    exponent = np.frexp(largest)[1]
    with np.errstate(under="ignore"):
        low, high = (np.ldexp(part, -exponent[:, None, None]) for part in (lower, upper))
        middle, radius = low / 2 + high / 2, high / 2 - low / 2
        basis = np.linalg.eigh(middle)[1]
        turned = np.swapaxes(basis, 1, 2) @ middle @ basis
        size = np.abs(basis)
        spread = np.swapaxes(size, 1, 2) @ radius @ size
        # `QᵀQ` differs from 1 by rounding, and so does each product: all of it is within this.
        lost = ROUNDING * d**2 * (np.abs(middle) + radius).sum(axis=(1, 2))
    beside = np.abs(turned) + spread
    beside[:, place, place] = spread[:, place, place]
    bound = (turned[:, place, place] - beside.sum(axis=2)).min(axis=1) - lost
    along = turned[:, 0, 0] + spread[:, 0, 0] + lost
    return _scaled_back(bound, exponent), -_scaled_back(-along, exponent)


def _scaled_back(bound: Array, exponent: Array) -> Array:
    """`2ᵏ` times a lower bound, which is one still where that over- or underflows."""
    with np.errstate(over="ignore", under="ignore"):
        found = np.ldexp(bound, exponent)
        found = np.minimum(found, np.finfo(np.float64).max)
        return np.where(np.abs(found) < TINY, np.nextafter(found, -np.inf), found)


def _unturned(lower: Array, upper: Array) -> Array:
    """Gershgorin's bound of the matrices as they are, which knows diagonals without an end too."""
    d = lower.shape[-1]
    size = np.maximum(np.abs(lower), np.abs(upper))
    size[:, np.arange(d), np.arange(d)] = 0
    with np.errstate(over="ignore", under="ignore"):
        # Sums of the smallest numbers are exact, products of them are not.
        beside = size.sum(axis=2)
        beside = np.maximum(beside, beside * (1 + ROUNDING * d))
    diagonal = lower[:, np.arange(d), np.arange(d)]
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        # Exact where nothing stands beside the diagonal: a function of some inputs alone.
        rows = np.where(beside == 0, diagonal, np.nextafter(diagonal - beside, -np.inf))
        bound = rows.min(axis=1)
    return np.where(np.isnan(bound), -np.inf, bound)


def largest_magnitude(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Encloses the largest |eigenvalue| of every symmetric matrix between two.

    Args:
        lower: of each entry, `(n, d, d)`, symmetric.
        upper: likewise.

    Returns:
        A lower and an upper bound, each `(n,)`.
    """
    least, no_less = smallest_eigenvalue(lower, upper)
    opposite = smallest_eigenvalue(-upper, -lower)
    most, no_more = -opposite[1], -opposite[0]
    below = np.maximum(np.maximum(most, -no_less), 0)
    return below, np.maximum(no_more, -least)
