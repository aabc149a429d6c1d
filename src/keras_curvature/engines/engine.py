"""What an engine is: a way to multiply Hessians with directions, and all that follows from it."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from keras_curvature.engines import chunking
from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.quantities import (
    ALONG_AXES,
    ALONG_V,
    BIHARMONIC,
    CURVATURE,
    DIAGONAL,
    DIRECTIONAL,
    DIVERGENCE,
    HESSIAN,
    JACOBIAN,
    LAPLACIAN,
    PRODUCT,
    SLOPE,
    VALUE,
    Partial,
    partials_among,
)
from keras_curvature.engines.traced_function import TracedFunction
from keras_curvature.typing import Tensor

first_derivatives = own_module("first_derivatives")

F = TypeVar("F", bound=TracedFunction)
"""A model as the engine's backend has it."""


class Engine(ABC, Generic[F]):
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
        f: F,
        rows: Tensor,
        others: Sequence[Tensor],
        seeds: Tensor,
        directions: Tensor,
    ) -> Tensor:
        """Products of the Hessians of `seed . f` at `rows` `(r, d)` with `(k, r, d)`, likewise.

        Where each output has directions of its own; `first_derivatives.per_output` makes the rows.
        """

    def hessian_rows(self, f: F, z: Tensor, rest: Sequence[Tensor], directions: Tensor) -> Tensor:
        """Products of each Hessian with `directions` `(k, n or 1, d)`, shape `(n, m, k, d)`."""
        directions = for_each(directions, z)
        m, d = f.outputs.width, f.inputs.width
        rows, others, seeds = first_derivatives.per_output(f, z, rest)
        found = self.products(f, rows, others, seeds, xp.repeat(directions, m, axis=1))
        return xp.transpose(xp.reshape(found, [-1, xp.lengths(z)[0], m, d]), [1, 2, 0, 3])

    def compute(
        self,
        f: F,
        z: Tensor,
        rest: Sequence[Tensor],
        v: Tensor | None,
        names: Collection[str],
        directions_at_once: int,
    ) -> dict[str, Tensor]:
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
        results: dict[str, Tensor] = {}
        if JACOBIAN in names:
            results[VALUE], results[JACOBIAN] = first_derivatives.value_and_jacobian(f, z, rest)
        elif VALUE in names:
            results[VALUE] = f(z, rest)
        if ALONG_AXES & set(names):
            results |= self._along_axes(f, z, rest, HESSIAN in names, directions_at_once)
        if ALONG_V & set(names):
            assert v is not None, "checked by the caller"
            product = self.hessian_rows(f, z, rest, v[None])[:, :, 0]
            results[PRODUCT] = product
            results[DIRECTIONAL] = xp.sum(product * v[:, None], axis=-1)
        if DIVERGENCE in names:
            results[DIVERGENCE] = self.divergence(f, z, rest)
        if BIHARMONIC in names:
            d = range(f.inputs.width)
            terms = (self.partial(f, z, rest, (i, i, j, j)) for i, j in itertools.product(d, d))
            results[BIHARMONIC] = functools.reduce(operator.add, terms)
        for name, partial in partials_among(names).items():
            results[name] = self.partial(f, z, rest, partial)
        return {name: results[name] for name in names}

    def divergence(self, f: F, z: Tensor, rest: Sequence[Tensor]) -> Tensor:
        """The sum of the derivatives of each output by the input of its place, `(n,)`."""
        _, jacobian = first_derivatives.value_and_jacobian(f, z, rest)
        return xp.trace(jacobian)

    def partial(self, f: F, z: Tensor, rest: Sequence[Tensor], by: Partial) -> Tensor:
        """A partial derivative `(n, m)`: a gradient's entry, and its derivatives in turn."""
        rows, others, seeds = first_derivatives.per_output(f, z, rest)

        def entry(rows: Tensor) -> Tensor:
            return first_derivatives.row_gradients(f, rows, others, seeds)[:, by[0]]

        function: Callable[[Tensor], Tensor] = entry
        for index in by[1:]:
            function = _entry_of_gradient(function, index)
        return xp.reshape(function(rows), [-1, f.outputs.width])

    def _along_axes(
        self,
        f: F,
        z: Tensor,
        rest: Sequence[Tensor],
        whole: bool,
        at_once: int,
    ) -> dict[str, Tensor]:
        d = f.inputs.width
        blocks, diagonals = [], []
        for start in range(0, d, at_once):
            axes = xp.eye(d, dtype=z.dtype)[start : start + at_once]
            directions = xp.tile(axes[:, None], [1, xp.lengths(z)[0], 1])
            rows = self.hessian_rows(f, z, rest, directions)
            diagonals.append(xp.sum(rows * axes, axis=-1))
            if whole:
                blocks.append(rows)
        diagonal = xp.concatenate(diagonals, axis=2)
        results = {DIAGONAL: diagonal, LAPLACIAN: xp.sum(diagonal, axis=-1)}
        if whole:
            results[HESSIAN] = xp.concatenate(blocks, axis=2)
        return results

    def trace(self, f: F, z: Tensor, rest: Sequence[Tensor], directions: Tensor) -> Tensor:
        """The mean of `vᵀHv` over directions `(k, n or 1, d)`, shape `(n, m)`."""
        rows = self.hessian_rows(f, z, rest, directions)
        along = xp.sum(rows * xp.transpose(directions, [1, 0, 2])[:, None], axis=-1)
        return xp.mean(along, axis=2)

    def bilinear(self, f: F, z: Tensor, rest: Sequence[Tensor], a: Tensor, b: Tensor) -> Tensor:
        """The sum of `aᵀHb` over pairs of directions `(k, n or 1, d)`, shape `(n, m)`."""
        rows = self.hessian_rows(f, z, rest, b)
        return xp.sum(rows * xp.transpose(a, [1, 0, 2])[:, None], axis=[2, 3])

    def estimates(
        self, f: F, z: Tensor, rest: Sequence[Tensor], along: Mapping[str, Sequence[Tensor]]
    ) -> tuple[Tensor, dict[str, list[Tensor]]]:
        """The value, and operators by the mean over random directions, see `random_estimates`.

        Args:
            f: the function.
            z: the points.
            rest: its other inputs.
            along: for each name directions `(k, n or 1, d)`, of one or several estimates.
        """
        ways = {LAPLACIAN: self.trace, DIVERGENCE: self._divergence, BIHARMONIC: self._biharmonic}
        n, d = xp.lengths(z)[0], f.inputs.width
        return f(z, rest), {
            name: [
                ways[name](f, z, rest, xp.broadcast_to(rows, [rows.shape[0], n, d]))
                for rows in parts
            ]
            for name, parts in along.items()
        }

    def _divergence(self, f: F, z: Tensor, rest: Sequence[Tensor], directions: Tensor) -> Tensor:
        """The mean of `vᵀJv` over directions `(k, n, d)`, of one pass backwards for each."""
        k, v = directions.shape[0], xp.reshape(directions, [-1, f.inputs.width])
        points, *others = (first_derivatives.tiled(tensor, k) for tensor in (z, *rest))
        products = first_derivatives.row_gradients(f, points, others, v)
        return xp.mean(xp.reshape(xp.sum(products * v, axis=-1), [k, -1]), axis=0)

    def _biharmonic(self, f: F, z: Tensor, rest: Sequence[Tensor], directions: Tensor) -> Tensor:
        """A third of the mean fourth derivative along directions `(k, n, d)`, one by one."""
        rows, others, seeds = first_derivatives.per_output(f, z, rest)
        m, total = f.outputs.width, None
        for direction in xp.unstack(directions):
            v = direction if m == 1 else xp.repeat(direction, m, axis=0)

            def slope(rows: Tensor, v: Tensor = v) -> Tensor:
                return xp.sum(first_derivatives.row_gradients(f, rows, others, seeds) * v, axis=1)

            function: Callable[[Tensor], Tensor] = slope
            for _ in range(3):
                function = _slope_of(function, v)
            found = function(rows)
            total = found if total is None else total + found
        return xp.reshape(total, [-1, m]) / (3 * directions.shape[0])

    def along(
        self, f: F, z: Tensor, rest: Sequence[Tensor], directions: Tensor
    ) -> dict[str, Tensor]:
        """`value` `(n, m)`, `slope` `gᵀv` and `curvature` `vᵀHv` along each of directions.

        Args:
            f: the function.
            z: the points.
            rest: its other inputs.
            directions: `(k, n or 1, d)`; slopes and curvatures are `(n, m, k)`.
        """
        value, jacobian = first_derivatives.value_and_jacobian(f, z, rest)
        rows = self.hessian_rows(f, z, rest, directions)
        v = xp.transpose(directions, [1, 0, 2])[:, None]
        return {
            VALUE: value,
            SLOPE: xp.sum(jacobian[:, :, None] * v, axis=-1),
            CURVATURE: xp.sum(rows * v, axis=-1),
        }

    def slopes(self, f: F, z: Tensor, rest: Sequence[Tensor], v: Tensor) -> Tensor:
        """The slope `gᵀv` along the direction of each point, `(n, d)`, shape `(n, m)`."""
        _, jacobian = first_derivatives.value_and_jacobian(f, z, rest)
        return xp.sum(jacobian * v[:, None], axis=-1)

    def directions(self, f: F, names: Collection[str]) -> int:
        """How many directions it goes through for named derivatives."""
        return f.inputs.width if ALONG_AXES & set(names) else 1

    def halves(self, f: F, directions: int) -> float:
        """From how many examples on, with so many directions each, it is faster in halves."""
        return math.inf

    def halved_from(self, f: F, names: Collection[str]) -> float:
        """From how many examples on named derivatives are faster in halves."""
        directions = self.directions(f, names)
        if ALONG_AXES & set(names) and directions < f.inputs.width:
            return math.inf  # the axes of a narrow beginning would be looked for twice
        return self.halves(f, directions)

    def plan(self, f: F, names: Collection[str]) -> tuple[int, int]:
        """Examples and directions that go through at once within the memory budget."""
        per_example = f.outputs.width if self.repeats_examples else 1
        return chunking.plan(f.rows_at_once(), per_example, self.directions(f, names))

    def rows_along(self, f: F) -> int:
        """How many rows, each with a direction of its own, fit into memory at once."""
        if self.repeats_examples:
            return max(1, f.rows_at_once(vectors=4) // f.outputs.width)
        return f.rows_forward()


def for_each(directions: Tensor, z: Tensor) -> Tensor:
    """Directions `(k, n, d)` of those that all examples may share, `(k, 1, d)`."""
    k, n, d = directions.shape
    return xp.broadcast_to(directions, [k, xp.lengths(z)[0], d]) if n == 1 else directions


def _entry_of_gradient(
    function: Callable[[Tensor], Tensor], index: int
) -> Callable[[Tensor], Tensor]:
    return lambda rows: first_derivatives.gradient(function, rows)[:, index]


def _slope_of(function: Callable[[Tensor], Tensor], v: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda rows: xp.sum(first_derivatives.gradient(function, rows) * v, axis=1)
