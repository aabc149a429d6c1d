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

import numpy as np
import tensorflow as tf

from keras_curvature.estimates.standard_error import mean_and_error

ROUNDING = 64
"""Units of rounding below which a singular value counts as 0."""

Multiply = Callable[[tf.Tensor], tf.Tensor]
"""From vectors `(n, m, k, d)` to their products with the Hessian of each example and output."""


def xtrace(
    products: tf.Tensor, directions: tf.Tensor, multiply: Multiply
) -> tuple[tf.Tensor, tf.Tensor]:
    """Trace and standard error, `(n, m)` each; `t` products more than those given.

    The `tr_i` are not quite independent of each other, so the error is an estimate that the
    paper recommends (section 3) and not one without bias.

    Args:
        products: `H ω`, `(n, m, t, d)`.
        directions: `ω`, `(n, t, d)`.
        multiply: for the products with a basis of what `products` span.
    """
    y = tf.linalg.matrix_transpose(products)
    q, r = tf.linalg.qr(y)
    basis = tf.linalg.matrix_transpose(q)
    inner = tf.matmul(multiply(basis), q)
    own = tf.reduce_sum(products * directions[:, None], axis=-1)
    shadow = tf.matmul(basis, tf.linalg.matrix_transpose(directions)[:, None])
    r, inner, own, shadow = (tf.cast(part, tf.float64) for part in (r, inner, own, shadow))
    samples = _samples(r, inner, own, shadow, y.dtype)
    mean, error = mean_and_error(samples, axis=2)
    if directions.shape[1] == 1:
        error = tf.zeros_like(mean)  # one input: every direction is exact
    return tf.cast(mean, y.dtype), tf.cast(error, y.dtype)


def _samples(
    r: tf.Tensor, inner: tf.Tensor, own: tf.Tensor, shadow: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """All `tr_i`, `(n, m, t)`, from matrices `(n, m, t, t)` in the basis `q` of `H ω`.

    Args:
        r: `qᵀ H ω`.
        inner: `qᵀ H q`.
        own: `ω_iᵀ H ω_i`, `(n, m, t)`.
        shadow: `qᵀ ω`.
        dtype: in which they were computed.
    """
    tiny = ROUNDING * np.finfo(dtype.as_numpy_dtype).eps
    samples = []
    for i in range(r.shape[-1]):
        projection = _onto_range(tf.concat([r[..., :i], r[..., i + 1 :]], axis=-1), tiny)
        c = tf.linalg.matvec(projection, shadow[..., i])
        crossed = tf.reduce_sum(c * r[..., i], axis=-1)
        remainder = own[..., i] - 2 * crossed + tf.einsum("nmi,nmij,nmj->nm", c, inner, c)
        samples.append(tf.einsum("nmij,nmji->nm", projection, inner) + remainder)
    return tf.stack(samples, axis=-1)


def _onto_range(columns: tf.Tensor, tiny: float) -> tf.Tensor:
    """The projection onto what columns `(n, m, t, t - 1)` span, `(n, m, t, t)`.

    No further: a direction that they only span by rounding would depend on the one left out.
    """
    if columns.shape[-1] == 0:
        return tf.zeros([*tf.unstack(tf.shape(columns))[:2], 1, 1], columns.dtype)
    lengths, axes, _ = tf.linalg.svd(columns)
    used = tf.cast(lengths > tiny * lengths[..., :1], axes.dtype)
    return tf.matmul(axes * used[..., None, :], axes, transpose_b=True)
