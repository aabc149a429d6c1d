"""Trace, squared norm and diagonal of a matrix from its products with random signs.

For `v` with independent entries of −1 and 1, `E[v vᵀ] = 1`. Hence

- `E[vᵀ H v] = tr(H E[v vᵀ]) = tr H`, with variance `2 (|H|_F² − Σ H_ii²)`: Hutchinson, A
  stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines,
  Communications in Statistics 19, 1990;
- `E[|Hv|²] = tr(Hᵀ H) = |H|_F²`, the same estimate for the matrix `Hᵀ H`;
- `E[v ⊙ Hv]_i = Σ_j H_ij E[v_i v_j] = H_ii`, with variance `Σ_{j≠i} H_ij²`: Bekas, Kokiopoulou
  and Saad, An estimator for the diagonal of a matrix, Applied Numerical Mathematics 57, 2007.
"""

from __future__ import annotations

from keras_curvature.engines.api import xp
from keras_curvature.estimates.standard_error import mean_and_error
from keras_curvature.typing import Tensor

Found = tuple[Tensor, Tensor]
"""Value and standard error."""


def trace(curvatures: Tensor) -> Found:
    """From `vᵀHv` along each direction, `(n, m, k)`, to `(n, m)`."""
    return mean_and_error(curvatures, axis=2)


def frobenius_squared(products: Tensor) -> Found:
    """From products `Hv`, `(n, m, k, d)`, to `(n, m)`."""
    return mean_and_error(xp.sum(xp.square(products), axis=-1), axis=2)


def diagonal(products: Tensor, directions: Tensor) -> Found:
    """From products `Hv`, `(n, m, k, d)`, and their directions `(n, k, d)`, to `(n, m, d)`."""
    return mean_and_error(products * directions[:, None], axis=2)
