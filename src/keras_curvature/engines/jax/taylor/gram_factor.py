"""As few directions as a jacobian has columns, along which a Laplacian is what it is along all.

With `z = J x` the Laplacian of `f(z)` by `x` is `tr(J H Jᵀ)`: the sum of `r H rᵀ` over the rows of
`J`, or over those of any `R` with `RᵀR = JᵀJ`.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax


def spanning_rows(jacobian: Any) -> Any:
    """Rows `(w, w)` with the Gram matrix of a jacobian's `d` rows `(d, w)`.

    Those of the Cholesky factor, which is there if no column of the jacobian depends on the
    others. It is found whole and right to rounding, or not at all (Higham, Accuracy and Stability
    of Numerical Algorithms, theorem 10.3); then the factor of a QR decomposition is taken.
    """
    gram = jacobian.T @ jacobian
    lower = jnp.linalg.cholesky(gram)
    there = jnp.all(jnp.isfinite(jnp.diagonal(lower)))
    safe = jnp.where(there, gram, jnp.eye(gram.shape[0], dtype=gram.dtype))
    return lax.cond(
        there,
        lambda: jnp.linalg.cholesky(safe).T,
        lambda: jnp.linalg.qr(jacobian, mode="r"),
    )
