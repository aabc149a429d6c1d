"""From a model and a batch to estimates of its curvature."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from keras_curvature.engines.api import (
    BoundModel,
    Engine,
    Layout,
    Options,
    bind,
    chunking,
    normal,
    rademacher,
    run_chunked,
    unflatten,
    xp,
)
from keras_curvature.engines.backend import (
    FlatFunction,
    computing_in,
    first_derivatives,
    not_converted,
)
from keras_curvature.engines.quantities import CURVATURE, LAPLACIAN, PRODUCT
from keras_curvature.estimates import hutchinson, lanczos
from keras_curvature.estimates.results import Eigenvalues, Estimate
from keras_curvature.estimates.xtrace import xtrace
from keras_curvature.typing import Columns, Model, Output, Structure, Tensor, Wrt

TRACE, XTRACE, FROBENIUS, DIAGONAL = "trace", "xtrace", "frobenius_squared", "diagonal"
EIGENVALUES = "eigenvalues"
NAMES = (TRACE, XTRACE, FROBENIUS, DIAGONAL, EIGENVALUES)

BY_PRODUCTS = frozenset({XTRACE, FROBENIUS, DIAGONAL})
"""What needs Hessian-vector products with random signs, and not only curvatures along them."""

PAIR = Layout(((2,),), 0)
"""Lowest and highest."""


@not_converted
def estimate(
    model: Model,
    x: Structure,
    names: Sequence[str],
    *,
    directions: int = 8,
    seed: int = 0,
    tolerance: float = 1e-2,
    most_products: int = 64,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Estimates curvature in thousands of inputs, with error bars.

    Nothing here takes the whole Hessian, of a photograph a matrix with 10¹⁰ entries. Random
    directions, drawn anew for each example, say how curved a model is on the whole:

    | name | estimates | cost, in products `Hv` | source |
    |---|---|---|---|
    | `"trace"` | the Laplacian, `(batch, *output_shape)` | none alone | Hutchinson 1990 |
    | `"xtrace"` | the same, better where few directions bend | k | Epperly et al. 2024 |
    | `"frobenius_squared"` | the sum of all squared entries, alike | k | Hutchinson 1990 |
    | `"diagonal"` | `(batch, *output_shape, *input_shape)` | k | Bekas et al. 2007 |
    | `"eigenvalues"` | the lowest and the highest | as many as it needs | Lanczos 1950 |

    `"trace"` alone takes `2 k + 1` forward passes (and `keras_curvature.laplacian(...,
    directions=k)` without an error `k + 2`); `"trace"`, `"frobenius_squared"` and `"diagonal"`
    together k products, each of three to six forward passes for every output. So choose one
    output: `output="predicted"` of a classifier.

    Every estimate is unbiased, as `keras_curvature.estimates.Estimate` says with its standard
    error. That of `"xtrace"` is its paper's, and up to a third too small where the curvature is
    spread over many directions. What is made of an estimate need not be unbiased: the square of
    a trace is too large by the square of its standard error, on average, and the mean of |trace|
    by something of that order.

    Args:
        model: see `keras_curvature.derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        names: any of the names in the table.
        directions: k, the random directions of each example; at least 4 for `"xtrace"`, which
            takes half of them to find out where the curvature is.
        seed: of the directions: the same ones for the same seed and shapes.
        tolerance: of `"eigenvalues"`: stop when the residual is below this share of the largest
            |eigenvalue| of the example.
        most_products: of `"eigenvalues"`: stop then at the latest; the `residual` tells.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        A dict from each name to an `Estimate`, and from `"eigenvalues"` to `Eigenvalues`.

    Raises:
        ValueError: for an unknown name or too few directions, and as `derivatives`.
        TypeError: as `derivatives`.

    Example:
        >>> import numpy as np, keras_curvature as kc
        >>> found = kc.estimate(
        ...     lambda x: x[:, :1] ** 2 - 2 * x[:, 1:] ** 2, [[3.0, 4.0]], ["trace", "eigenvalues"]
        ... )
        >>> float(found["trace"].value[0, 0]), float(found["trace"].standard_error[0, 0])
        (-2.0, 0.0)
        >>> np.round(found["eigenvalues"].value[0, 0], 3).tolist()
        [-4.0, 2.0]
    """
    wanted = _checked(names, directions, tolerance, most_products)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"`seed` must be an int. Received: {seed!r}.")
    options = Options(output, wrt, engine, dtype, batch_size, columns)
    bound = bind(model, x, options)
    found: dict[str, Any] = {}
    sampled = [name for name in wanted if name != EIGENVALUES]
    if sampled:
        found |= _sampled(bound, sampled, directions, seed, options)
    if EIGENVALUES in wanted:
        found[EIGENVALUES] = _eigenvalues(bound, seed, tolerance, most_products, options)
    return {name: found[name] for name in wanted}


def _checked(names: Any, directions: Any, tolerance: float, most_products: Any) -> list[str]:
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted or any(name not in NAMES for name in wanted):
        raise ValueError(f"`names` must be some of {list(NAMES)}. Received: {names!r}.")
    for what, count in (("directions", directions), ("most_products", most_products)):
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"`{what}` must be an int. Received: {count!r}.")
        if count < 1:
            raise ValueError(f"`{what}` must be at least 1. Received: {count}.")
    if XTRACE in wanted and directions < 4:
        raise ValueError(
            "`directions` must be at least 4 for 'xtrace': two to span a space, and a product "
            f"with each of its two axes. Received: {directions}."
        )
    if not 0 < tolerance < 1:
        raise ValueError(f"`tolerance` must lie between 0 and 1. Received: {tolerance!r}.")
    return wanted


def _sampled(
    bound: BoundModel, names: Sequence[str], directions: int, seed: int, options: Options
) -> dict[str, Estimate]:
    """The estimates from random signs."""
    f, leaves = bound.f, bound.inputs.leaves
    by_products = bool(BY_PRODUCTS & set(names))
    engine = bound.engine_for((PRODUCT if by_products else LAPLACIAN,))
    signs = rademacher([_count(leaves[0]), directions, f.inputs.width], seed)
    size, at_once = _plan(f, engine, directions, by_products)
    wanted = tuple(names)

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        z, rest = f.point(tensors[:-1])
        v = xp.cast(tensors[-1], z.dtype)
        if not by_products:
            along = engine.along(f, z, rest, xp.transpose(v, [1, 0, 2]))[CURVATURE]
            return _flat({TRACE: hutchinson.trace(along)})
        return _flat(_from_products(engine, f, z, rest, v, wanted, at_once))

    out, arg = f.outputs.width, f.inputs.width
    shapes = {name: [None, out, arg] if name == DIAGONAL else [None, out] for name in names}
    signature = {
        f"{name}{part}": xp.spec(shapes[name], f.dtype) for name in names for part in ("", "_error")
    }
    size = chunking.at_once(options.batch_size, size, leaves[0])
    with computing_in(f.dtype):
        found = run_chunked(bound, compute, (*leaves, signs), size, signature)

        def shaped(name: str, part: str) -> Any:
            layouts = (f.outputs, f.inputs) if name == DIAGONAL else (f.outputs,)
            return unflatten(xp.cast(found[f"{name}{part}"], bound.result_dtype), *layouts)

        return {name: Estimate(shaped(name, ""), shaped(name, "_error")) for name in names}


def _from_products(
    engine: Engine[Any],
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    v: Tensor,
    names: Collection[str],
    at_once: int,
) -> dict[str, hutchinson.Found]:
    """Value and error by name, from Hessian-vector products with signs `(n, k, d)`."""
    m, d = f.outputs.width, f.inputs.width
    rows, others, seeds = first_derivatives.per_output(f, z, rest)

    def multiply(vectors: Tensor) -> Tensor:
        """Shape `(n, m, k, d)`, as the result."""
        k = vectors.shape[2]
        lined = xp.transpose(xp.reshape(vectors, [-1, k, d]), [1, 0, 2])
        parts = [
            engine.products(f, rows, others, seeds, lined[i : i + at_once])
            for i in range(0, k, at_once)
        ]
        return xp.reshape(xp.transpose(xp.concatenate(parts, axis=0), [1, 0, 2]), [-1, m, k, d])

    count = v.shape[1]
    spanning = min(count // 2, d)
    enough = count if set(names) - {XTRACE} else spanning
    products = multiply(xp.repeat(v[:, None, :enough], m, axis=1))
    found = {}
    if TRACE in names:
        along = xp.sum(products * v[:, None], axis=-1)
        found[TRACE] = hutchinson.trace(along)
    if FROBENIUS in names:
        found[FROBENIUS] = hutchinson.frobenius_squared(products)
    if DIAGONAL in names:
        found[DIAGONAL] = hutchinson.diagonal(products, v)
    if XTRACE in names:
        found[XTRACE] = xtrace(products[:, :, :spanning], v[:, :spanning], multiply)
    return found


def _eigenvalues(
    bound: BoundModel, seed: int, tolerance: float, most_products: int, options: Options
) -> Eigenvalues:
    """Lanczos' method for every example and output."""
    f, leaves = bound.f, bound.inputs.leaves
    m, d = f.outputs.width, f.inputs.width
    steps = min(most_products, d)
    engine = bound.engine_for((PRODUCT,))
    # Signs would be orthogonal to an eigenvector such as (1, −1) half of the time.
    start = normal([_count(leaves[0]), d], seed, f.dtype)

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        z, rest = f.point(tensors[:-1])
        rows, others, seeds = first_derivatives.per_output(f, z, rest)
        found = lanczos.extreme_eigenvalues(
            lambda v: engine.products(f, rows, others, seeds, v),
            xp.repeat(xp.cast(tensors[-1], z.dtype), m, axis=0),
            steps,
            tolerance,
        )
        return {name: xp.reshape(part, [-1, m, *part.shape[1:]]) for name, part in found.items()}

    signature = {
        "value": xp.spec([None, m, 2], f.dtype),
        "direction": xp.spec([None, m, 2, d], f.dtype),
        "residual": xp.spec([None, m, 2], f.dtype),
    }
    rows = f.rows_at_once(vectors=steps + 4)
    size = chunking.at_once(options.batch_size, max(1, rows // m), leaves[0])
    with computing_in(f.dtype):
        found = run_chunked(bound, compute, (*leaves, start), size, signature)
        cast = {name: xp.cast(part, bound.result_dtype) for name, part in found.items()}
        return Eigenvalues(
            value=unflatten(cast["value"], f.outputs, PAIR),
            direction=unflatten(cast["direction"], f.outputs, PAIR, f.inputs),
            residual=unflatten(cast["residual"], f.outputs, PAIR),
        )


def _plan(
    f: FlatFunction, engine: Engine[Any], directions: int, by_products: bool
) -> tuple[int, int]:
    """Examples and directions at once."""
    if not by_products:
        return max(1, engine.rows_along(f) // (2 * directions + 1)), directions
    rows = f.rows_at_once(vectors=4)
    return chunking.plan(rows, f.outputs.width, directions)


def _flat(found: dict[str, hutchinson.Found]) -> dict[str, Tensor]:
    """Values by name, and errors by name with `_error` behind it."""
    parts = {name: value for name, (value, _) in found.items()}
    return parts | {f"{name}_error": error for name, (_, error) in found.items()}


def _count(leaf: Tensor) -> Any:
    return xp.lengths(leaf)[0] if leaf.shape[0] is None else leaf.shape[0]
