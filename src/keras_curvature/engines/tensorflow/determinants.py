"""Determinants and inverses, also where a matrix has none or TensorFlow would fail for all.

The slope of a determinant is that of its minors, whatever its value is; TensorFlow has it as
`det(A) A⁻¹`, and fails for the whole batch where one matrix is singular.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow.safe_custom_gradient import safe_custom_gradient

BLOCK = 3
"""Rows up to which a determinant is written out.

A matrix that lacks more than so many in rank has a determinant of which three derivatives are 0.
"""


def determinant(op: tf.Operation, a: tf.Tensor) -> tf.Tensor:
    """`det(A)`, as `± det(P) det(S - R P⁻¹ Q)` of the blocks of `A` turned by its singular vectors.

    They are constants here, and make `P` the diagonal of the larger singular values.
    """
    n = a.shape[-1]
    if n <= BLOCK:
        return _written_out(a)
    _, u, v = tf.linalg.svd(tf.stop_gradient(a), full_matrices=True)
    turned = tf.matmul(tf.matmul(u, a, transpose_a=True), v)
    sign = tf.stop_gradient(tf.linalg.det(u) * tf.linalg.det(v))
    k = n - BLOCK
    p, q, r, s = (
        turned[..., rows, columns]
        for rows in (slice(k), slice(k, n))
        for columns in (slice(k), slice(k, n))
    )
    p, lost = _regular(p)
    schur = s - tf.matmul(r, tf.linalg.solve(p, q))
    p_sign, log = tf.linalg.slogdet(p)
    found = sign * tf.stop_gradient(p_sign) * tf.exp(log) * _written_out(schur)
    return tf.where(lost, tf.zeros_like(found), found)


def _written_out(a: tf.Tensor) -> tf.Tensor:
    """The determinant of a matrix of up to three rows, as a polynomial of its entries."""
    rows = [tf.unstack(row, axis=-1) for row in tf.unstack(a, axis=-2)]
    if not rows:
        return tf.ones(tf.shape(a)[:-2], a.dtype)
    return _expanded(rows)


def _expanded(rows: Sequence[Sequence[tf.Tensor]]) -> tf.Tensor:
    first, *others = rows
    if not others:
        return first[0]
    terms = []
    for i, entry in enumerate(first):
        minor = _expanded([[x for j, x in enumerate(row) if j != i] for row in others])
        terms.append(-entry * minor if i % 2 else entry * minor)
    return tf.add_n(terms)


def _regular(a: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Matrices of which TensorFlow can take the inverse, and which were not among them.

    The unit matrix stands for those. A slope by a matrix that is NaN stays NaN.
    """
    _, log = tf.linalg.slogdet(tf.stop_gradient(a))
    lost = ~tf.math.is_finite(log)
    keep = tf.cast(~lost, a.dtype)[..., None, None]
    whole = tf.where(lost[..., None, None], tf.zeros_like(a), tf.stop_gradient(a))
    unit = (1 - keep) * tf.eye(a.shape[-1], dtype=a.dtype)
    # `a` itself only by its derivative: NaN or infinity times 0 would be NaN.
    return whole + unit + (a - tf.stop_gradient(a)) * keep, lost


def inverse(op: tf.Operation, a: tf.Tensor) -> list[tf.Tensor]:
    """`A⁻¹`, NaN where there is none."""
    regular, lost = _regular(a)
    return [_nan_where(lost, tf.linalg.inv(regular, adjoint=op.get_attr("adjoint")), 2)]


def lower_factor(op: tf.Operation, a: tf.Tensor) -> list[tf.Tensor]:
    """The Cholesky factor as a function of the lower triangle, which is all that is read of `A`.

    TensorFlow shares the derivatives by that out between both triangles. It leaves numbers in some
    places where a matrix is not positive definite; here all are NaN.
    """
    lower = tf.linalg.band_part(a, -1, 0)
    strictly = lower - tf.linalg.band_part(a, 0, 0)
    factor = tf.linalg.cholesky(lower + tf.linalg.matrix_transpose(strictly))
    lost = ~tf.reduce_all(tf.math.is_finite(factor), axis=[-2, -1])
    return [_nan_where(lost, factor, 2)]


def solution(op: tf.Operation, a: tf.Tensor, b: tf.Tensor) -> list[tf.Tensor]:
    """`A⁻¹ B`, NaN where there is none."""
    regular, lost = _regular(a)
    return [_nan_where(lost, tf.linalg.solve(regular, b, adjoint=op.get_attr("adjoint")), 2)]


def root(op: tf.Operation, a: tf.Tensor) -> list[tf.Tensor]:
    """The square root of a matrix, which has no slope where the matrix is singular."""
    regular, lost = _regular(a)
    value = tf.linalg.sqrtm(tf.stop_gradient(a))
    return [_in_place_of(_nan_where(lost, tf.linalg.sqrtm(regular), 2), value)]


def log_determinant(op: tf.Operation, a: tf.Tensor) -> list[tf.Tensor]:
    """Sign and logarithm of `|det(A)|`, which has no slope where it is -inf."""
    regular, lost = _regular(a)
    sign, log = tf.linalg.slogdet(tf.stop_gradient(a))
    return [sign, _in_place_of(_nan_where(lost, tf.linalg.slogdet(regular)[1], 0), log)]


def _nan_where(lost: tf.Tensor, x: tf.Tensor, axes: int) -> tf.Tensor:
    """`x`, and NaN with all its derivatives at the examples that are lost."""
    nan, one = (tf.constant(value, x.dtype) for value in (float("nan"), 1))
    factor = tf.where(lost, nan, one)
    return x * factor[(..., *[None] * axes)]


@safe_custom_gradient
def _in_place_of(
    formula: tf.Tensor, value: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """The derivatives of one tensor and the value of another."""
    return tf.identity(value), lambda upstream: (upstream, None)
