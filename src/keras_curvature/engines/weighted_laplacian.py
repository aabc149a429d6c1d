"""The sum of second derivatives weighted by a matrix, along as many directions as it has rank.

Where `C = Σ ± vᵥvᵀ`, as its eigenvectors give it, `Σᵢⱼ Cᵢⱼ ∂²f/∂xᵢ∂xⱼ` is the sum of `± vᵀHv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any

import keras
import numpy as np

from keras_curvature.engines import chunking
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.bound_model import BoundModel, bind
from keras_curvature.engines.directions import as_rows
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.evaluation import compilation, plan_along, run_along
from keras_curvature.engines.inputs import numbers_in
from keras_curvature.engines.layout import fits, unflatten
from keras_curvature.engines.options import Options
from keras_curvature.engines.quantities import LAPLACIAN
from keras_curvature.typing import Array, Model, Structure, Tensor, Weights

NOTHING = 1e-12
"""Eigenvalues below this share of the largest are 0: above what decomposing in float64 leaves."""


def weighted_laplacian(model: Model, x: Structure, weights: Weights, options: Options) -> Any:
    """`Σᵢⱼ Cᵢⱼ ∂²f/∂xᵢ∂xⱼ`, in the user's structure.

    Args:
        model: the model.
        x: the batch.
        weights: `C`, `(d, d)` or `(batch, d, d)`, or what gives one of these for `x`.
        options: the caller's options.

    Raises:
        ValueError: for weights of another shape, and for such as are not symmetric or not finite
            where they have numbers.
    """
    bound = bind(model, x, options)
    engine = bound.engine_for((LAPLACIAN,))
    given = _checked_shape(bound, weights(_as_given(bound, x)) if callable(weights) else weights)
    with compilation.computing_in(bound.f.dtype):
        if not xp.is_tensor(given) or xp.has_numbers(given):
            directions, positive = decomposed(_checked(xp.to_numpy(given)))
            flat = _of_numbers(bound, engine, directions, positive, options.batch_size)
        else:
            matrices = xp.stop_gradient(xp.cast(given, bound.f.dtype))
            flat = _of_tensor(bound, engine, matrices, options.batch_size)
        return unflatten(xp.cast(flat, bound.result_dtype), *bound.layouts(LAPLACIAN))


def decomposed(matrices: Array) -> tuple[Array, int]:
    """Symmetric matrices `(..., d, d)` as rows `(..., k, d)` whose squares they are sums of.

    Returns:
        The rows, and how many of them come first whose squares count as positive: the others are
        subtracted. A matrix of less rank than another beside it has rows of 0.
    """
    d = matrices.shape[-1]
    rounding = np.finfo(matrices.dtype).eps if matrices.dtype.kind == "f" else 0.0
    exact = np.asarray(matrices, np.float64)
    values, vectors = np.linalg.eigh((exact + np.swapaxes(exact, -1, -2)) / 2)
    largest = np.max(np.abs(values), axis=-1, keepdims=True)
    # Of float32 numbers the rounding alone would have every rank.
    values = np.where(np.abs(values) > max(NOTHING, d * rounding) * largest, values, 0)
    rows = np.swapaxes(vectors * np.sqrt(np.abs(values))[..., None, :], -1, -2)
    up, down = values > 0, values < 0
    most_up, most_down = (int(np.max(np.sum(side, axis=-1))) for side in (up, down))
    ahead = (rows * up[..., None])[..., d - most_up :, :]  # they ascend
    behind = (rows * down[..., None])[..., :most_down, :]
    return np.concatenate([ahead, behind], axis=-2), most_up


def _of_numbers(
    bound: BoundModel,
    engine: Engine[Any],
    directions: Array,
    positive: int,
    batch_size: int | None,
) -> Tensor:
    """The second order summed over the directions of a sign at once."""
    f, k = bound.f, directions.shape[-2]
    if k == 0:
        return xp.zeros([xp.lengths(bound.inputs.leaves[0])[0], f.outputs.width], f.dtype)
    examples, at_once = plan_along(bound, engine, k)

    def along(z: Tensor, rest: Sequence[Tensor], given: Tensor) -> dict[str, Tensor]:
        rows, total = as_rows(given), None
        for sign, first, end in ((1, 0, positive), (-1, positive, k)):
            for start in range(first, end, at_once):
                some = rows[start : min(start + at_once, end)]
                part = sign * some.shape[0] * engine.trace(f, z, rest, some)
                total = part if total is None else total + part
        return {LAPLACIAN: total}

    return _run(
        bound, engine, along, xp.constant(directions, f.dtype), (examples, at_once), batch_size
    )


def _of_tensor(
    bound: BoundModel, engine: Engine[Any], matrices: Tensor, batch_size: int | None
) -> Tensor:
    """Of matrices without numbers as yet: the sum of `eᵢᵀHCeᵢ` over the unit vectors.

    Their eigenvectors would not do: those that XLA finds in float64 have half its digits.
    """
    f, d = bound.f, bound.f.inputs.width
    examples, at_once = plan_along(bound, engine, d)

    def along(z: Tensor, rest: Sequence[Tensor], given: Tensor) -> dict[str, Tensor]:
        size = xp.max(xp.abs(given), axis=[-2, -1])[..., None, None]
        root = xp.sqrt(size)  # both factors of one length: their sum is rounded to that of either
        axes = as_rows(root * xp.eye(d, dtype=z.dtype))
        symmetric = (given + xp.matrix_transpose(given)) / 2
        columns, total = as_rows(xp.divide_no_nan(symmetric, size) * root), None
        for start in range(0, d, at_once):
            some = slice(start, start + at_once)
            part = engine.bilinear(f, z, rest, axes[some], columns[some])
            total = part if total is None else total + part
        return {LAPLACIAN: total}

    return _run(bound, engine, along, matrices, (examples, at_once), batch_size)


def _run(
    bound: BoundModel,
    engine: Engine[Any],
    along: Any,
    given: Tensor,
    planned: tuple[int, int],
    batch_size: int | None,
) -> Tensor:
    signature = {LAPLACIAN: xp.spec([None, bound.f.outputs.width], bound.f.dtype)}
    examples, at_once = planned
    size = chunking.at_once(batch_size, examples, bound.inputs.leaves[0])
    return run_along(bound, engine, along, given, size, at_once, signature)[LAPLACIAN]


def _as_given(bound: BoundModel, x: Structure) -> Any:
    """The batch that a function of the user's is called with: lists of numbers as an array."""
    alone = all(isinstance(leaf, Number) for leaf in keras.tree.flatten(x))
    return bound.inputs.leaves[0] if alone else x


def _checked_shape(bound: BoundModel, weights: Any) -> Any:
    given = numbers_in(weights, "weights")
    layout, batch = bound.f.inputs, bound.inputs.leaves[0].shape[0]
    d, shape = layout.width, tuple(given.shape)
    if fits((d, d), shape) or fits((batch, d, d), shape):
        return given
    several = ", ".join(
        f"{name!r} ({size})" for name, size in zip(layout.names, layout.sizes, strict=True)
    )
    raise ValueError(
        f"`weights` must have shape {(d, d)}, or {(batch, d, d)} with a matrix for each example: "
        f"{d} numbers are differentiated by"
        + (f", in this order: {several}. " if len(layout.names) > 1 else ". ")
        + f"Received: shape {shape}."
        + (" For a weight of each input write `np.diag(weights)`." if len(shape) == 1 else "")
    )


def _checked(matrices: Array) -> Array:
    if not np.all(np.isfinite(matrices)):
        raise ValueError(
            "`weights` must be finite. Received: "
            f"{int(np.sum(~np.isfinite(matrices)))} of {matrices.size} numbers that are not. Look "
            "for a division by 0 where they come from."
        )
    exact = np.asarray(matrices, np.float64)
    gap = float(np.max(np.abs(exact - np.swapaxes(exact, -1, -2))))
    rounding = np.sqrt(np.finfo(matrices.dtype).eps) if matrices.dtype.kind == "f" else 0.0
    if gap > rounding * float(np.max(np.abs(exact))):
        raise ValueError(
            "`weights` must be symmetric, as second derivatives are. Received: entries that differ "
            f"from those across the diagonal by up to {gap:.3g}. Give "
            "`(weights + np.swapaxes(weights, -1, -2)) / 2`, of which the sum is the same."
        )
    return matrices
