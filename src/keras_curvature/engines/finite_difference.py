"""Differences of exact gradients at a tiny step.

The engine differences first derivatives, so it shares no second-order rule with the
others: it is what they are checked against. What a `stop_gradient` or a custom gradient
hides from a second derivative it sees, and a kink within its step counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.engine import Engine
from keras_curvature.engines.quantities import Partial
from keras_curvature.engines.traced_function import TracedFunction
from keras_curvature.typing import Tensor

first_derivatives = own_module("first_derivatives")

RELATIVE_STEP = float(np.finfo(np.float64).eps ** (1 / 3))
"""Where rounding, ~eps / h, meets truncation, ~h**2 (Press et al., Numerical Recipes, 5.7)."""


@dataclass(frozen=True)  # equal to itself in a key
class FiniteDifference(Engine[TracedFunction]):
    """`Hv = (g(x + hv) - g(x - hv)) / 2h` with exact gradients `g`."""

    name = "finite_difference"
    why = "differences of exact gradients in float64, independent of second-order rules"
    in_float64 = True

    def products(
        self,
        f: TracedFunction,
        rows: Tensor,
        others: Sequence[Tensor],
        seeds: Tensor,
        directions: Tensor,
    ) -> Tensor:
        """Differences of gradients at a tiny step."""
        k = xp.lengths(directions)[0]
        steps = _tiny_steps(rows, directions)[..., None]
        moved = xp.stack([rows + steps * directions, rows - steps * directions])
        points = xp.reshape(moved, [-1, f.inputs.width])
        others = [first_derivatives.tiled(tensor, 2 * k) for tensor in others]
        gradients = first_derivatives.row_gradients(
            f, points, others, first_derivatives.tiled(seeds, 2 * k)
        )
        ahead, behind = xp.unstack(xp.reshape(gradients, xp.lengths(moved)), num=2)
        return (ahead - behind) / (2 * steps)

    def repeated(self, function: Callable[[Tensor], Tensor], by: Partial, rows: Tensor) -> Tensor:
        """Differences of differences, at steps that grow with how many there are."""
        size = float(np.finfo(np.float64).eps) ** (1 / (len(by) + 4))
        for index in by:
            function = _difference(function, index, size)
        return function(rows)


def _difference(
    function: Callable[[Tensor], Tensor], index: int, size: float
) -> Callable[[Tensor], Tensor]:
    def difference(rows: Tensor) -> Tensor:
        step = size * (1 + xp.max(xp.abs(rows), axis=1))
        axis = np.eye(rows.shape[1])[index]
        moved = step[:, None] * xp.constant(axis, rows.dtype)
        near = function(rows + moved) - function(rows - moved)
        far = function(rows + 2 * moved) - function(rows - 2 * moved)
        return (8 * near - far) / (12 * step)  # to h^4

    return difference


def _tiny_steps(z: Tensor, directions: Tensor) -> Tensor:
    """How far to go along each of `(k, n, d)`, in units of its length, `(k, n)`."""
    size = 1 + xp.max(xp.abs(z), axis=1)
    length = xp.max(xp.abs(directions), axis=2)
    return RELATIVE_STEP * size / xp.where(length > 0, length, xp.ones_like(length))
