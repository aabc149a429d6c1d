"""The extreme eigenvalues of a symmetric matrix from its products with vectors.

Lanczos' method: the matrix is seen in the space of `q, Hq, H²q, …`, where it is tridiagonal and
its extreme eigenvalues approach those of the whole from within. The basis is orthogonalised
against all of itself, twice, in every step, because rounding loses orthogonality just when an
eigenvalue converges, and brings it back as a copy.

Golub and Van Loan, Matrix Computations, 4th edition, 2013, sections 10.1 and 10.3. How fast:
Kuczyński and Woźniakowski, Estimating the largest eigenvalue by the power and Lanczos algorithms
with a random start, SIAM Journal on Matrix Analysis and Applications 13, 1992. Twice is enough:
Parlett, The Symmetric Eigenvalue BoundModel, 1998, section 6.9.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

BREAKDOWN = 64
"""Units of rounding of a product below which what is left of it counts as 0."""

Multiply = Callable[[tf.Tensor], tf.Tensor]
"""From vectors `(k, r, d)` to their products with the matrix of each row."""


def extreme_eigenvalues(
    multiply: Multiply, start: tf.Tensor, steps: int, tolerance: float
) -> dict[str, tf.Tensor]:
    """Lowest and highest eigenvalue of the matrix of each row.

    Args:
        multiply: by the matrices.
        start: a random vector for each, `(r, d)`.
        steps: products at most.
        tolerance: stops when the residuals of all rows are below this share of their largest
            |eigenvalue|.

    Returns:
        `value` `(r, 2)`, `direction` `(r, 2, d)`, and `residual` `(r, 2)`, computed from the
        directions by another product.
    """
    basis, weights = _ritz_vectors(multiply, start, steps, tolerance)
    direction = tf.matmul(weights, basis)
    direction /= tf.maximum(tf.norm(direction, axis=-1, keepdims=True), _tiny(direction))
    product = tf.transpose(multiply(tf.transpose(direction, [1, 0, 2])), [1, 0, 2])
    value = tf.reduce_sum(direction * product, axis=-1)
    residual = tf.norm(product - value[..., None] * direction, axis=-1)
    return {"value": value, "direction": direction, "residual": residual}


def _ritz_vectors(
    multiply: Multiply, start: tf.Tensor, steps: int, tolerance: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """A basis `(r, steps, d)`, and the weights in it of the two eigenvectors, `(r, 2, steps)`."""
    rows = tf.shape(start)[0]
    zeros = tf.zeros([rows, steps], start.dtype)
    first = start / tf.norm(start, axis=-1, keepdims=True)
    state = (
        tf.constant(0),
        first,
        tf.zeros([rows, steps, start.shape[1]], start.dtype),
        zeros,
        zeros,
        zeros,
        tf.constant(False),
    )

    def advance(
        j: tf.Tensor,
        q: tf.Tensor,
        basis: tf.Tensor,
        diagonal: tf.Tensor,
        beside: tf.Tensor,
        known: tf.Tensor,
        _: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        here = tf.one_hot(j, steps, dtype=q.dtype)
        product = multiply(q[None])[0]
        basis += here[:, None] * q[:, None]
        # A row whose space is exhausted goes on with 0, which counts as nothing.
        known += here * tf.cast(tf.reduce_any(tf.not_equal(q, 0), axis=-1, keepdims=True), q.dtype)
        diagonal += here * tf.reduce_sum(q * product, axis=-1, keepdims=True)
        left = _orthogonal(_orthogonal(product, basis), basis)
        length = tf.norm(left, axis=-1, keepdims=True)
        size = tf.norm(product, axis=-1, keepdims=True)
        more = length > BREAKDOWN * np.finfo(q.dtype.as_numpy_dtype).eps * size
        q = tf.where(more, left / tf.where(more, length, tf.ones_like(length)), 0)
        length = tf.where(more, length, 0)
        value, weights = _extremes(diagonal, beside, known)
        missed = length * tf.abs(tf.linalg.matvec(weights, here))
        largest = tf.reduce_max(tf.abs(value), axis=-1, keepdims=True)
        finite = tf.math.is_finite(tf.reduce_sum(missed, axis=-1))
        done = tf.reduce_all((missed <= tolerance * largest) | ~finite[:, None])
        moved = (j + 1, q, basis, diagonal, beside + here * length, known, done)
        for part, before in zip(moved, state, strict=True):
            part.set_shape(before.shape)
        return moved

    def goes_on(j: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        return (j < steps) & ~state[-1]

    # XLA has to know how often a loop turns in order to differentiate it.
    found = tf.while_loop(goes_on, advance, state, parallel_iterations=1, maximum_iterations=steps)
    _, _, basis, diagonal, beside, known, _ = found
    return basis, _extremes(diagonal, beside, known)[1]


def _orthogonal(vector: tf.Tensor, basis: tf.Tensor) -> tf.Tensor:
    """What of `(r, d)` is orthogonal to the rows of `(r, steps, d)`."""
    along = tf.linalg.matvec(basis, vector)
    return vector - tf.linalg.matvec(basis, along, transpose_a=True)


def _extremes(diagonal: tf.Tensor, beside: tf.Tensor, known: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Extreme eigenvalues `(r, 2)` and eigenvectors `(r, 2, steps)` of tridiagonal matrices.

    Entries not known yet stand alone with the first one's value, which is never beyond the
    extremes, and leave what is found to the known ones.
    """
    filled = tf.where(known > 0, diagonal, diagonal[:, :1])
    coupled = beside[:, :-1] * known[:, 1:]
    matrix = tf.linalg.diag(filled) + tf.linalg.diag(coupled, k=1) + tf.linalg.diag(coupled, k=-1)
    finite = tf.reduce_all(tf.math.is_finite(matrix), axis=[1, 2])
    safe = tf.where(finite[:, None, None], matrix, tf.zeros_like(matrix))
    values, vectors = tf.linalg.eigh(safe)
    vectors = tf.linalg.matrix_transpose(vectors)
    # Among equal values the one that is made of known entries.
    share = tf.linalg.matvec(tf.square(vectors), known)
    real = share > 0.5
    infinity = tf.constant(float("inf"), values.dtype)
    ends = [
        tf.argmin(tf.where(real, values, infinity), axis=1),
        tf.argmax(tf.where(real, values, -infinity), axis=1),
    ]
    at = tf.stack(ends, axis=1)
    nan = tf.constant(float("nan"), values.dtype)
    value = tf.gather(values, at, batch_dims=1)
    return tf.where(finite[:, None], value, nan), tf.gather(vectors, at, batch_dims=1)


def _tiny(tensor: tf.Tensor) -> tf.Tensor:
    return tf.constant(1e-30, tensor.dtype)
