"""What an engine is: a way to multiply Hessians with directions, and all that follows from it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar

import tensorflow as tf

from keras_curvature.engines import chunking
from keras_curvature.engines.quantities import (
    ALONG_AXES,
    ALONG_V,
    CURVATURE,
    DIAGONAL,
    DIRECTIONAL,
    HESSIAN,
    JACOBIAN,
    LAPLACIAN,
    PRODUCT,
    SLOPE,
    VALUE,
)
from keras_curvature.engines.tensorflow.first_derivatives import per_output, value_and_jacobian
from keras_curvature.engines.tensorflow.flat_function import FlatFunction


class Engine(ABC):
    """A way to compute second derivatives.

    `products` makes an engine. What follows from products may have a cheaper way of its own.

    Everywhere `z` are points `(n, d)`, `rest` the model's other inputs there, and `m` its outputs.

    Attributes:
        name: as in `engine=`.
        why: what it is good for, as a clause.
        in_float64: whether it needs float64 inside to be exact enough.
        repeats_examples: whether every output of an example takes a row of its own.
    """

    name: ClassVar[str]
    why: ClassVar[str]
    in_float64: ClassVar[bool] = False
    repeats_examples: ClassVar[bool] = True

    @abstractmethod
    def products(
        self,
        f: FlatFunction,
        rows: tf.Tensor,
        others: Sequence[tf.Tensor],
        seeds: tf.Tensor,
        directions: tf.Tensor,
    ) -> tf.Tensor:
        """Products of the Hessians of `seed . f` at `rows` `(r, d)` with `(k, r, d)`, likewise.

        Where each output has directions of its own; `first_derivatives.per_output` makes the rows.
        """

    def hessian_rows(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> tf.Tensor:
        """Products of each Hessian with `directions` `(k, n, d)`, shape `(n, m, k, d)`."""
        m, d = f.outputs.width, f.inputs.width
        rows, others, seeds = per_output(f, z, rest)
        found = self.products(f, rows, others, seeds, tf.repeat(directions, m, axis=1))
        return tf.transpose(tf.reshape(found, [-1, tf.shape(z)[0], m, d]), [1, 2, 0, 3])

    def compute(
        self,
        f: FlatFunction,
        z: tf.Tensor,
        rest: Sequence[tf.Tensor],
        v: tf.Tensor | None,
        names: Collection[str],
        directions_at_once: int,
    ) -> dict[str, tf.Tensor]:
        """Named derivatives.

        Args:
            f: the function.
            z: the points.
            rest: its other inputs.
            v: directions `(n, d)`, for what needs one.
            names: what to compute.
            directions_at_once: how many unit vectors go through together.

        Returns:
            By name value, laplacian, directional curvature `(n, m)`; jacobian, diagonal, product
            `(n, m, d)`; hessian `(n, m, d, d)`.
        """
        results: dict[str, tf.Tensor] = {}
        if JACOBIAN in names:
            results[VALUE], results[JACOBIAN] = value_and_jacobian(f, z, rest)
        elif VALUE in names:
            results[VALUE] = f(z, rest)
        if ALONG_AXES & set(names):
            results |= self._along_axes(f, z, rest, HESSIAN in names, directions_at_once)
        if ALONG_V & set(names):
            assert v is not None, "checked by the caller"
            product = self.hessian_rows(f, z, rest, v[None])[:, :, 0]
            results[PRODUCT] = product
            results[DIRECTIONAL] = tf.reduce_sum(product * v[:, None], axis=-1)
        return {name: results[name] for name in names}

    def _along_axes(
        self,
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
            rows = self.hessian_rows(f, z, rest, directions)
            diagonals.append(tf.reduce_sum(rows * axes, axis=-1))
            if whole:
                blocks.append(rows)
        diagonal = tf.concat(diagonals, axis=2)
        results = {DIAGONAL: diagonal, LAPLACIAN: tf.reduce_sum(diagonal, axis=-1)}
        if whole:
            results[HESSIAN] = tf.concat(blocks, axis=2)
        return results

    def trace(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> tf.Tensor:
        """The mean of `vᵀHv` over directions `(k, n, d)`, shape `(n, m)`."""
        rows = self.hessian_rows(f, z, rest, directions)
        along = tf.reduce_sum(rows * tf.transpose(directions, [1, 0, 2])[:, None], axis=-1)
        return tf.reduce_mean(along, axis=2)

    def along(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """`value` `(n, m)`, `slope` `gᵀv` and `curvature` `vᵀHv` along each of directions.

        Args:
            f: the function.
            z: the points.
            rest: its other inputs.
            directions: `(k, n, d)`; slopes and curvatures are `(n, m, k)`.
        """
        value, jacobian = value_and_jacobian(f, z, rest)
        rows = self.hessian_rows(f, z, rest, directions)
        v = tf.transpose(directions, [1, 0, 2])[:, None]
        return {
            VALUE: value,
            SLOPE: tf.reduce_sum(jacobian[:, :, None] * v, axis=-1),
            CURVATURE: tf.reduce_sum(rows * v, axis=-1),
        }

    def slopes(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], v: tf.Tensor
    ) -> tf.Tensor:
        """The slope `gᵀv` along the direction of each point, `(n, d)`, shape `(n, m)`."""
        _, jacobian = value_and_jacobian(f, z, rest)
        return tf.reduce_sum(jacobian * v[:, None], axis=-1)

    def groups(
        self, f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], groups: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """`value`, and the means of `(gᵀv)²` and of `vᵀHv` over groups of directions.

        Args:
            f: the function.
            z: the points.
            rest: its other inputs.
            groups: directions `(g, k, n, d)`; the means are `(n, m, g)`.
        """
        g, k = groups.shape[:2]
        found = self.along(f, z, rest, tf.reshape(groups, [g * k, -1, f.inputs.width]))
        by_group = [-1, f.outputs.width, g, k]
        return {
            VALUE: found[VALUE],
            SLOPE: tf.reduce_mean(tf.reshape(found[SLOPE] ** 2, by_group), axis=3),
            CURVATURE: tf.reduce_mean(tf.reshape(found[CURVATURE], by_group), axis=3),
        }

    def directions(self, f: FlatFunction, names: Collection[str]) -> int:
        """How many directions it goes through for named derivatives."""
        return f.inputs.width if ALONG_AXES & set(names) else 1

    def halves(self, f: FlatFunction, directions: int) -> float:
        """From how many examples on, with so many directions each, it is faster in halves."""
        return math.inf

    def halved_from(self, f: FlatFunction, names: Collection[str]) -> float:
        """From how many examples on named derivatives are faster in halves."""
        directions = self.directions(f, names)
        if ALONG_AXES & set(names) and directions < f.inputs.width:
            return math.inf  # the axes of a narrow beginning would be looked for twice
        return self.halves(f, directions)

    def plan(self, f: FlatFunction, names: Collection[str]) -> tuple[int, int]:
        """Examples and directions that go through at once within the memory budget."""
        per_example = f.outputs.width if self.repeats_examples else 1
        return chunking.plan(f.rows_at_once(), per_example, self.directions(f, names))

    def rows_along(self, f: FlatFunction) -> int:
        """How many rows, each with a direction of its own, fit into memory at once."""
        if self.repeats_examples:
            return max(1, f.rows_at_once(vectors=4) // f.outputs.width)
        return f.rows_forward()
