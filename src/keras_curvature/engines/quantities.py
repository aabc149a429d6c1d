"""The named derivatives, from an engine that multiplies Hessians with directions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import tensorflow as tf

from keras_curvature.engines import finite_difference, nested
from keras_curvature.engines.function import FlatFunction

VALUE, JACOBIAN = "value", "jacobian"
HESSIAN, DIAGONAL, LAPLACIAN = "hessian", "hessian_diagonal", "laplacian"
DIRECTIONAL, PRODUCT = "directional_curvature", "hessian_vector_product"

ALONG_AXES = frozenset({HESSIAN, DIAGONAL, LAPLACIAN})
"""Quantities that need the Hessian times every unit vector."""

ALONG_V = frozenset({DIRECTIONAL, PRODUCT})
"""Quantities that need the Hessian times a given direction."""

NAMES = (VALUE, JACOBIAN, HESSIAN, DIAGONAL, LAPLACIAN, DIRECTIONAL, PRODUCT)

Products = Callable[[FlatFunction, tf.Tensor, Sequence[tf.Tensor], tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Engine:
    """A way to multiply the Hessian of every example with directions.

    Attributes:
        name: as in `engine=`.
        products: from directions `(k, n, d)` to products `(n, m, k, d)`.
        in_float64: whether it needs float64 inside to be exact enough.
        why: what it is good for, as a clause.
    """

    name: str
    products: Products
    in_float64: bool
    why: str

    def hessian_rows(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> tf.Tensor:
        """Products of each Hessian with `directions` `(k, n, d)`, shape `(n, m, k, d)`.

        Raises:
            ValueError: for an op that TensorFlow cannot differentiate as often as needed.
        """
        try:
            return self.products(f, z, rest, directions)
        except LookupError as error:
            missing = str(error).rpartition(" ")[2]
            places = [place for place in f.audit.live if missing.startswith(place.op_type)]
            raise ValueError(
                f"TensorFlow has no second derivative for {places[-1] if places else missing} "
                f"({missing} has no gradient), which the {self.name!r} engine needs. Replace the "
                'op, or use `engine="finite_difference"`, which needs first derivatives only.'
            ) from error


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "nested",
            nested.hessian_rows,
            in_float64=False,
            why="exact, and covers whatever TensorFlow can differentiate twice",
        ),
        Engine(
            "finite_difference",
            finite_difference.hessian_rows,
            in_float64=True,
            why="differences of exact gradients in float64, independent of second-order rules",
        ),
    )
}


def compute(
    engine: Engine,
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    v: tf.Tensor | None,
    names: Collection[str],
    directions_at_once: int,
) -> dict[str, tf.Tensor]:
    """Computes named derivatives of a flat function.

    Args:
        engine: how second derivatives are computed.
        f: the function.
        z: points, shape `(n, d)`.
        rest: the function's other inputs.
        v: directions `(n, d)` for the quantities that need one.
        names: what is wanted, of `NAMES`.
        directions_at_once: how many unit vectors to go through together.

    Returns:
        By name: value, laplacian, directional curvature `(n, m)`; jacobian, diagonal,
        product `(n, m, d)`; hessian `(n, m, d, d)`.
    """
    results: dict[str, tf.Tensor] = {}
    if JACOBIAN in names:
        results[VALUE], results[JACOBIAN] = nested.value_and_jacobian(f, z, rest)
    elif VALUE in names:
        results[VALUE] = f(z, rest)
    if ALONG_AXES & set(names):
        results |= _along_axes(engine, f, z, rest, HESSIAN in names, directions_at_once)
    if ALONG_V & set(names):
        assert v is not None, "checked by the caller"
        product = engine.hessian_rows(f, z, rest, v[None])[:, :, 0]
        results[PRODUCT] = product
        results[DIRECTIONAL] = tf.reduce_sum(product * v[:, None], axis=-1)
    return {name: results[name] for name in names}


def _along_axes(
    engine: Engine,
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    whole: bool,
    at_once: int,
) -> dict[str, tf.Tensor]:
    d = f.inputs.width
    blocks, diagonals = [], []
    for start in range(0, d, at_once):
        axes = tf.eye(d, dtype=z.dtype)[start : start + at_once]
        directions = tf.tile(axes[:, None], [1, tf.shape(z)[0], 1])
        rows = engine.hessian_rows(f, z, rest, directions)
        diagonals.append(tf.reduce_sum(rows * axes, axis=-1))
        if whole:
            blocks.append(rows)
    diagonal = tf.concat(diagonals, axis=2)
    results = {DIAGONAL: diagonal, LAPLACIAN: tf.reduce_sum(diagonal, axis=-1)}
    if whole:
        results[HESSIAN] = tf.concat(blocks, axis=2)
    return results
