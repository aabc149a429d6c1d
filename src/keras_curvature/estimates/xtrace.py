"""A trace estimate that takes the largest eigenvalues out exactly before it samples the rest.

Of `t` random directions `ω_i`, all but the i-th span, multiplied with the matrix, a space with
the projection `P_i` in which most of the matrix lives. There the trace is exact, and `ω_i`,
which that space knows nothing of, estimates the remainder without bias:

    tr_i = tr(P_i H P_i) + ω_iᵀ (1 − P_i) H (1 − P_i) ω_i

The result is the mean of the `tr_i`. Where the eigenvalues decay it is far more accurate than
Hutchinson's estimate from as many products, where they are all of one size it is less.

Epperly, Tropp and Webber, XTrace: making the most of every sample in stochastic trace
estimation, SIAM Journal on Matrix Analysis and Applications 45, 2024. It improves on Meyer,
Musco, Musco and Woodruff, Hutch++: optimal stochastic trace estimation, SOSA 2021, which
divides its directions into those that span and those that sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_curvature.engines.api import xp
from keras_curvature.estimates.standard_error import mean_and_error
from keras_curvature.typing import Tensor

ROUNDING = 64
"""Units of rounding below which a singular value counts as 0."""

Multiply = Callable[[Tensor], Tensor]
"""From vectors `(n, m, k, d)` to their products with the Hessian of each example and output."""


def xtrace(products: Tensor, directions: Tensor, multiply: Multiply) -> tuple[Tensor, Tensor]:
    """Trace and standard error, `(n, m)` each; `t` products more than those given.

    The `tr_i` are not quite independent of each other, so the error is an estimate that the
    paper recommends (section 3) and not one without bias.

    Args:
        products: `H ω`, `(n, m, t, d)`.
        directions: `ω`, `(n, t, d)`.
        multiply: for the products with a basis of what `products` span.
    """
    y = xp.matrix_transpose(products)
    q, r = xp.qr(y)
    basis = xp.matrix_transpose(q)
    inner = xp.matmul(multiply(basis), q)
    own = xp.sum(products * directions[:, None], axis=-1)
    shadow = xp.matmul(basis, xp.matrix_transpose(directions)[:, None])
    r, inner, own, shadow = (xp.cast(part, xp.widest()) for part in (r, inner, own, shadow))
    samples = _samples(r, inner, own, shadow, y.dtype)
    mean, error = mean_and_error(samples, axis=2)
    if directions.shape[1] == 1:
        error = xp.zeros_like(mean)  # one input: every direction is exact
    return xp.cast(mean, y.dtype), xp.cast(error, y.dtype)


def _samples(r: Tensor, inner: Tensor, own: Tensor, shadow: Tensor, dtype: Any) -> Tensor:
    """All `tr_i`, `(n, m, t)`, from matrices `(n, m, t, t)` in the basis `q` of `H ω`.

    Args:
        r: `qᵀ H ω`.
        inner: `qᵀ H q`.
        own: `ω_iᵀ H ω_i`, `(n, m, t)`.
        shadow: `qᵀ ω`.
        dtype: in which they were computed.
    """
    tiny = ROUNDING * xp.eps(dtype)
    samples = []
    for i in range(r.shape[-1]):
        projection = _onto_range(xp.concatenate([r[..., :i], r[..., i + 1 :]], axis=-1), tiny)
        c = xp.matvec(projection, shadow[..., i])
        crossed = xp.sum(c * r[..., i], axis=-1)
        remainder = own[..., i] - 2 * crossed + xp.einsum("nmi,nmij,nmj->nm", c, inner, c)
        samples.append(xp.einsum("nmij,nmji->nm", projection, inner) + remainder)
    return xp.stack(samples, axis=-1)


def _onto_range(columns: Tensor, tiny: float) -> Tensor:
    """The projection onto what columns `(n, m, t, t - 1)` span, `(n, m, t, t)`.

    No further: a direction that they only span by rounding would depend on the one left out.
    """
    if columns.shape[-1] == 0:
        return xp.zeros([*xp.unstack(xp.lengths(columns))[:2], 1, 1], columns.dtype)
    axes, lengths = xp.svd(columns)
    used = xp.cast(lengths > tiny * lengths[..., :1], axes.dtype)
    return xp.matmul(axes * used[..., None, :], axes, transpose_b=True)
