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

from keras_curvature.engines.api import xp
from keras_curvature.typing import Tensor

BREAKDOWN = 64
"""Units of rounding of a product below which what is left of it counts as 0."""

Multiply = Callable[[Tensor], Tensor]
"""From vectors `(k, r, d)` to their products with the matrix of each row."""


def extreme_eigenvalues(
    multiply: Multiply, start: Tensor, steps: int, tolerance: float
) -> dict[str, Tensor]:
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
    direction = xp.matmul(weights, basis)
    direction = direction / xp.maximum(xp.norm(direction, axis=-1, keepdims=True), _tiny(direction))
    product = xp.transpose(multiply(xp.transpose(direction, [1, 0, 2])), [1, 0, 2])
    value = xp.sum(direction * product, axis=-1)
    residual = xp.norm(product - value[..., None] * direction, axis=-1)
    return {"value": value, "direction": direction, "residual": residual}


def _ritz_vectors(
    multiply: Multiply, start: Tensor, steps: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """A basis `(r, steps, d)`, and the weights in it of the two eigenvectors, `(r, 2, steps)`."""
    rows = xp.lengths(start)[0]
    zeros = xp.zeros([rows, steps], start.dtype)
    first = start / xp.norm(start, axis=-1, keepdims=True)
    state = (
        xp.constant(0),
        first,
        xp.zeros([rows, steps, start.shape[1]], start.dtype),
        zeros,
        zeros,
        zeros,
        xp.constant(False),
    )

    def advance(
        j: Tensor,
        q: Tensor,
        basis: Tensor,
        diagonal: Tensor,
        beside: Tensor,
        known: Tensor,
        _: Tensor,
    ) -> tuple[Tensor, ...]:
        here = xp.cast(xp.one_hot(j, steps), q.dtype)
        product = multiply(q[None])[0]
        # Not in place, which on PyTorch would change what the loop began with.
        basis = basis + here[:, None] * q[:, None]
        # A row whose space is exhausted goes on with 0, which counts as nothing.
        known = known + here * xp.cast(xp.any(q != 0, axis=-1, keepdims=True), q.dtype)
        diagonal = diagonal + here * xp.sum(q * product, axis=-1, keepdims=True)
        left = _orthogonal(_orthogonal(product, basis), basis)
        length = xp.norm(left, axis=-1, keepdims=True)
        size = xp.norm(product, axis=-1, keepdims=True)
        more = length > BREAKDOWN * xp.eps(q.dtype) * size
        q = xp.where(more, left / xp.where(more, length, xp.ones_like(length)), 0)
        length = xp.where(more, length, 0)
        value, weights = _extremes(diagonal, beside, known)
        missed = length * xp.abs(xp.matvec(weights, here))
        largest = xp.max(xp.abs(value), axis=-1, keepdims=True)
        finite = xp.isfinite(xp.sum(missed, axis=-1))
        done = xp.all((missed <= tolerance * largest) | ~finite[:, None])
        return j + 1, q, basis, diagonal, beside + here * length, known, done

    def goes_on(j: Tensor, *state: Tensor) -> Tensor:
        return (j < steps) & ~state[-1]

    found = xp.while_loop(goes_on, advance, state, steps)
    _, _, basis, diagonal, beside, known, _ = found
    return basis, _extremes(diagonal, beside, known)[1]


def _orthogonal(vector: Tensor, basis: Tensor) -> Tensor:
    """What of `(r, d)` is orthogonal to the rows of `(r, steps, d)`."""
    along = xp.matvec(basis, vector)
    return vector - xp.matvec(basis, along, transpose_a=True)


def _extremes(diagonal: Tensor, beside: Tensor, known: Tensor) -> tuple[Tensor, ...]:
    """Extreme eigenvalues `(r, 2)` and eigenvectors `(r, 2, steps)` of tridiagonal matrices.

    Entries not known yet stand alone with the first one's value, which is never beyond the
    extremes, and leave what is found to the known ones.
    """
    filled = xp.where(known > 0, diagonal, diagonal[:, :1])
    coupled = beside[:, :-1] * known[:, 1:]
    matrix = xp.diag(filled) + xp.diag(coupled, k=1) + xp.diag(coupled, k=-1)
    finite = xp.all(xp.isfinite(matrix), axis=(1, 2))
    safe = xp.where(finite[:, None, None], matrix, xp.zeros_like(matrix))
    values, vectors = xp.eigh(safe)
    vectors = xp.matrix_transpose(vectors)
    # Among equal values the one that is made of known entries.
    share = xp.matvec(xp.square(vectors), known)
    real = share > 0.5
    infinity = xp.constant(float("inf"), values.dtype)
    ends = [
        xp.argmin(xp.where(real, values, infinity), axis=1),
        xp.argmax(xp.where(real, values, -infinity), axis=1),
    ]
    at = xp.stack(ends, axis=1)
    nan = xp.constant(float("nan"), values.dtype)
    value = xp.take_for_each(values, at)
    return xp.where(finite[:, None], value, nan), xp.take_for_each(vectors, at)


def _tiny(tensor: Tensor) -> Tensor:
    return xp.constant(1e-30, tensor.dtype)
