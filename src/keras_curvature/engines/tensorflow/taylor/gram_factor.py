"""As few directions as a jacobian has columns, along which a Laplacian is what it is along all.

With `z = J x` the Laplacian of `f(z)` by `x` is `tr(J H Jᵀ)`: the sum of `r H rᵀ` over the rows of
`J`, or over those of any `R` with `RᵀR = JᵀJ`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_curvature.engines.tensorflow.safe_custom_gradient import safe_custom_gradient


def spanning_rows(jacobian: tf.Tensor) -> tf.Tensor:
    """Rows `(w, w)` with the Gram matrix of a jacobian's `d` rows `(d, w)`.

    Those of the Cholesky factor, which is there if no column of the jacobian depends on the
    others. It is found whole and right to rounding, or not at all (Higham, Accuracy and Stability
    of Numerical Algorithms, theorem 10.3).
    """
    gram = tf.matmul(jacobian, jacobian, transpose_a=True)
    lower = _cholesky(gram)
    return tf.cond(_is_there(lower), lambda: tf.transpose(lower), lambda: _along_basis(jacobian))


@safe_custom_gradient
def _cholesky(gram: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """The lower factor, NaN where there is none; its gradient is 0 there, not NaN times 0."""
    lower = tf.linalg.cholesky(gram)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        safe = tf.where(_is_there(lower), gram, tf.eye(gram.shape[-1], dtype=gram.dtype))
        with tf.GradientTape() as tape:
            tape.watch(safe)
            again = tf.linalg.cholesky(safe)
        return tape.gradient(again, safe, upstream)

    return lower, gradient


def _is_there(lower: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(tf.math.is_finite(tf.linalg.diag_part(lower)))


def _along_basis(jacobian: tf.Tensor) -> tf.Tensor:
    """What a jacobian makes of an orthonormal basis of its columns' span.

    The Hessian is 0 across the basis `B = J V`, so its trace over it is whole. The basis itself
    need not be differentiated: to first order the trace does not depend on its choice. So
    `Bᵀ J = Vᵀ Jᵀ J`, with a gradient by the last `J` only. To second order it does: that is NaN.
    """
    jacobian = _differentiable_once(jacobian)
    gram = tf.matmul(tf.stop_gradient(jacobian), jacobian, transpose_a=True)
    squares, vectors = tf.linalg.eigh(tf.stop_gradient(gram))
    tiny = squares[-1] * tf.constant(np.finfo(squares.dtype.as_numpy_dtype).eps, squares.dtype)
    lengths = tf.where(squares > tiny, tf.math.rsqrt(squares), tf.zeros_like(squares))
    return tf.matmul(tf.stop_gradient(vectors * lengths), gram, transpose_a=True)


@safe_custom_gradient
def _differentiable_once(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """`x`, whose gradient's gradient is NaN."""

    @safe_custom_gradient
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.identity(upstream), lambda again: again * float("nan")

    return tf.identity(x), gradient
