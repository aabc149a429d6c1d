"""The Laplacian of a Keras model with respect to its input: exact, weighted or estimated."""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.api import (
    Options,
    differentiate,
    estimate_laplacian,
    weighted_laplacian,
)
from keras_curvature.engines.backend import not_converted
from keras_curvature.engines.quantities import LAPLACIAN
from keras_curvature.typing import Columns, Model, Output, Structure, Weights, Wrt


@not_converted
def laplacian(
    model: Model,
    x: Structure,
    *,
    weights: Weights | None = None,
    directions: int | None = None,
    seed: int = 0,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the sum of the second derivatives along each input, or a weighted one.

    With weights `C` it is the sum of `C_ij d2y / dx_i dx_j`: the second-order term of a diffusion
    whose covariance is `C`, in as many directions as `C` has rank: `C` is the sum of `v vᵀ` over
    its eigenvectors, each as long as the square root of its eigenvalue, and the sum that of `vᵀHv`
    over these, carried as one (Dangel et al., Collapsing Taylor mode automatic differentiation,
    2025). Those of negative eigenvalues are subtracted.

    Args:
        model: see `derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        weights: `None` for the Laplacian; or symmetric matrices, `(d, d)` for all examples,
            `(batch, d, d)` for each its own, or a function of `x` that gives one of these. `d` is
            how many numbers are differentiated by: of an input `(height, width)` all of them in
            one row; of several inputs one behind the other as Keras flattens them, a dict's in the
            order of the alphabet; of `wrt` and `columns` only these. What has no numbers as yet,
            as in a `tf.function` or `jax.jit`, takes `2 d` directions whatever its rank, and of
            what is not symmetric the symmetric part counts, which has the same sum. No gradient
            goes through the weights.
        directions: `None` for the exact Laplacian; an int for an unbiased estimate of it
            from so many random directions, where there are too many inputs: the mean of
            `vᵀHv` over vectors of random signs (Hutchinson, A stochastic estimator of the
            trace of the influence matrix, 1989). It costs as many forward passes, and two; more
            of them than there are inputs cost more than the exact one, which a warning says.
        seed: of the signs: the same ones for the same seed and shapes.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape)`, the trace of the Hessian over all inputs together, or of `C`
        times it.

    Example:
        >>> import keras_curvature as kc
        >>> def paraboloid(x):
        ...     return x[:, :1] ** 2 + 3 * x[:, 1:] ** 2
        >>> float(kc.laplacian(paraboloid, [[0.5, 0.5]])[0, 0])
        8.0
        >>> covariance = [[1.0, 0.5], [0.5, 1.0]]
        >>> product = kc.laplacian(lambda x: x[:, :1] * x[:, 1:], [[2.0, 3.0]], weights=covariance)
        >>> round(float(product[0, 0]), 6)
        1.0

    Raises:
        ValueError: for weights of another shape, for such as are not symmetric or not finite, and
            for weights and random directions together.
        TypeError: for weights that are no numbers.
    """
    options = Options(output, wrt, engine, dtype, batch_size, columns)
    if weights is not None and directions is not None:
        raise ValueError(
            "`weights` and `directions` exclude each other: the weighted sum takes as many "
            f"directions as the weights have rank. Received: both, directions={directions!r}. "
            "Leave one out."
        )
    if weights is not None:
        return weighted_laplacian(model, x, weights, options)
    if directions is not None:
        return estimate_laplacian(model, x, _count(directions), seed, options)
    return differentiate(model, x, {LAPLACIAN: LAPLACIAN}, None, options)[LAPLACIAN]


def _count(directions: Any) -> int:
    if isinstance(directions, bool) or not isinstance(directions, int):
        raise TypeError(f"`directions` must be None or an int. Received: {directions!r}.")
    if directions < 1:
        raise ValueError(f"`directions` must be at least 1. Received: {directions}.")
    return directions
