"""As few directions as a jacobian has columns, along which a Laplacian is what it is along all.

With `z = J x` the Laplacian of `f(z)` by `x` is `tr(J H Jᵀ)`: the sum of `r H rᵀ` over the rows of
`J`, or over those of any `R` with `RᵀR = JᵀJ`.
"""

from __future__ import annotations

import torch


def spanning_rows(jacobian: torch.Tensor) -> torch.Tensor:
    """Rows `(w, w)` with the Gram matrix of a jacobian's `d` rows `(d, w)`.

    Those of the Cholesky factor, which is there if no column of the jacobian depends on the
    others. It is found whole and right to rounding, or not at all (Higham, Accuracy and Stability
    of Numerical Algorithms, theorem 10.3); then the factor of a QR decomposition is taken.
    """
    lower, failed = torch.linalg.cholesky_ex(jacobian.T @ jacobian)
    if not bool(failed):
        return lower.T
    return torch.linalg.qr(jacobian, mode="r").R
