"""Differences of exact gradients at a tiny step.

The engine differences first derivatives, so it shares no second-order rule with the
others: it is what they are checked against. What a `stop_gradient` or a custom gradient
hides from a second derivative it sees, and a kink within its step counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
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

    def partial(self, f: TracedFunction, z: Tensor, rest: Sequence[Tensor], by: Partial) -> Tensor:
        """Differences of an entry of the gradient, at steps that grow with their order."""
        entry, *others_by = sorted(by, key=by.count, reverse=True)
        offsets, weights = _stencil(Counter(others_by), f.inputs.width)
        rows, others, seeds = first_derivatives.per_output(f, z, rest)
        size = float(np.finfo(np.float64).eps) ** (1 / (len(others_by) + ACCURACY))
        step = size * (1 + xp.max(xp.abs(rows), axis=1))
        moved = rows[None] + step[None, :, None] * xp.constant(offsets, rows.dtype)[:, None]
        count = len(offsets)
        gradients = first_derivatives.row_gradients(
            f,
            xp.reshape(moved, [-1, f.inputs.width]),
            [first_derivatives.tiled(tensor, count) for tensor in others],
            first_derivatives.tiled(seeds, count),
        )
        entries = xp.reshape(gradients[:, entry], [count, -1])
        total = xp.tensordot(xp.constant(weights, rows.dtype), entries, [[0], [0]])
        return xp.reshape(total / step ** len(others_by), [-1, f.outputs.width])


ACCURACY = 4
"""The power of the step that central differences of higher order are right to."""


def _stencil(orders: Mapping[int, int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets `(s, d)` in steps and weights `(s,)` of a mixed difference of these orders."""
    offsets, weights = np.zeros((1, width)), np.ones(1)
    for index, order in orders.items():
        reach = (order + ACCURACY - 1) // 2
        nodes = np.arange(-reach, reach + 1)
        powers = np.vander(nodes, increasing=True).T
        wanted = math.factorial(order) * np.eye(len(nodes))[order]
        along = np.linalg.solve(powers, wanted)
        axis = np.eye(width)[index]
        offsets = (offsets[:, None] + nodes[:, None] * axis).reshape(-1, width)
        weights = (weights[:, None] * along).reshape(-1)
    used = np.abs(weights) > 1e-12
    return offsets[used], weights[used]


def _tiny_steps(z: Tensor, directions: Tensor) -> Tensor:
    """How far to go along each of `(k, n, d)`, in units of its length, `(k, n)`."""
    size = 1 + xp.max(xp.abs(z), axis=1)
    length = xp.max(xp.abs(directions), axis=2)
    return RELATIVE_STEP * size / xp.where(length > 0, length, xp.ones_like(length))
