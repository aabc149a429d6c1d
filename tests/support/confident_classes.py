"""Functions of probabilities near 1 in closed form: where 1 - p has no digits in float32."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np

LOGITS = [[0, -16, -17], [0, -30, -31], [5, -35, -60], [-20, 3, -20], [1, 1, 0]]
V = np.array([1.0, 2, 3])
ASKED = (
    ("jacobian", "hessian"),
    ("laplacian", "directional_curvature"),
    ("hessian_diagonal", "hessian_vector_product"),
)
"""Each set of names takes ways of its own through the engines."""


def probabilities(logits):
    """In sixty digits, of which cancellation leaves enough."""
    with localcontext(prec=60):
        shares = [Decimal(z).exp() for z in logits]
        total = sum(shares)
        return np.array([share / total for share in shares])


def covariance(p):
    return np.diag(p) - np.outer(p, p)


def of_logsumexp(p):
    return p, covariance(p)


def of_loss(p):
    """Of `-log p₀`."""
    return p - np.array([Decimal(1), 0, 0]), covariance(p)


def of_probability(p):
    away = np.array([Decimal(1), 0, 0]) - p
    return p[0] * away, p[0] * (np.outer(away, away) - covariance(p))


def check(found, derivatives):
    """Whether derivatives at `LOGITS`, along `V` too, are right to their last digits."""
    for k, logits in enumerate(LOGITS):
        with localcontext(prec=60):
            gradient, hessian = derivatives(probabilities(logits))
        gradient, hessian = gradient.astype("float64"), hessian.astype("float64")
        truth = {
            "jacobian": gradient,
            "hessian": hessian,
            "hessian_diagonal": np.diag(hessian),
            "laplacian": np.trace(hessian),
            "hessian_vector_product": hessian @ V,
            "directional_curvature": V @ hessian @ V,
        }
        for quantity, right in truth.items():
            # Some ten roundings in float32, each of the largest of the numbers.
            np.testing.assert_allclose(
                found[quantity][k],
                right,
                rtol=0,
                atol=1e-5 * np.abs(right).max(),
                err_msg=f"{quantity} at {logits}",
            )
