"""Partial derivatives and operators of any order, of power series along few directions."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.quantities import (
    BIHARMONIC,
    HIGHEST_ORDER,
    Partial,
    partials_among,
)
from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.interpolation import bilaplacian, plan
from keras_curvature.engines.taylor.modes import FirstOrder
from keras_curvature.engines.taylor.series import Orders
from keras_curvature.typing import Tensor


def partial_derivatives(
    recorded: Any, wanted: Collection[Partial], at_once: int
) -> dict[Partial, Tensor]:
    """Partial derivatives `(n, m)`, each by the inputs of some indexes, which are sorted.

    Args:
        recorded: the model, see `engine.Recorded`.
        wanted: which ones.
        at_once: slices that may go through together, one for each order along a direction.
    """
    planned = plan(wanted, recorded.f.inputs.width)
    if sum(planned.counts) > at_once and len(wanted) > 1:
        # Those of an order side by side: what goes far does not take the others along.
        ordered = sorted(wanted, key=lambda partial: (len(partial), partial))
        half = len(ordered) // 2
        return partial_derivatives(recorded, ordered[:half], at_once) | partial_derivatives(
            recorded, ordered[half:], at_once
        )
    highest = len(planned.counts)
    of_highest = [weights for order, weights in planned.weights.values() if order == highest]
    sums = np.stack(of_highest) if len(of_highest) < planned.counts[-1] else None
    coefficients = _coefficients(recorded, planned.directions, Orders(planned.counts, sums))
    row = iter(range(len(of_highest)))
    return {
        partial: math.factorial(order)
        * (
            coefficients[order - 1][next(row)]
            if sums is not None and order == highest
            else _weighted(weights, coefficients[order - 1])
        )
        for partial, (order, weights) in planned.weights.items()
    }


def biharmonic(recorded: Any, at_once: int) -> Tensor:
    """The Laplacian of the Laplacian, `(n, m)`, with so many slices at once."""
    found = recorded.entry_and_jacobian()
    if found is None:
        directions, weights = bilaplacian(recorded.f.inputs.width)
        rows, entry = xp.constant(directions, recorded.z.dtype), None
    else:  # turned so that the Laplacian is that of fewer inputs
        entry, jacobian = found
        turned = recorded.spanning_rows(jacobian)
        directions, weights = bilaplacian(int(turned.shape[0]))
        rows = xp.matmul(xp.constant(directions, turned.dtype), turned)
    total, together = None, max(1, at_once // HIGHEST_ORDER)
    for start in range(0, len(weights), together):
        some = slice(start, start + together)
        count = len(weights[some])
        orders = Orders((count,) * HIGHEST_ORDER, weights[some][None])
        given = rows[some] if entry is not None else rows[some][:, None]
        part = _highest(recorded, given, orders, entry)
        total = part if total is None else total + part
    assert total is not None
    return math.factorial(4) * total


def estimated_biharmonic(recorded: Any, rows: Tensor) -> Tensor:
    """A third of the mean fourth derivative along random directions `(k, n or 1, d)`, `(n, m)`."""
    count = int(rows.shape[0])
    orders = Orders((count,) * HIGHEST_ORDER, np.full((1, count), 1 / count))
    return math.factorial(4) / 3 * _highest(recorded, rows, orders)


def slices_at_once(names: Collection[str], width: int) -> int:
    """How many tensors the series for these names have, where all go together; 0 for none."""
    partials = partials_among(names).values()
    found = sum(plan(partials, width).counts) if partials else 0
    return max(found, HIGHEST_ORDER * width**2) if BIHARMONIC in names else found


def _coefficients(recorded: Any, directions: np.ndarray, orders: Orders) -> Sequence[Tensor]:
    """Of each order from 1 on, `(slices, n, m)`."""
    rows = xp.constant(directions, recorded.z.dtype)[:, None]
    if orders.highest == 1:
        return [recorded.along(rows, FirstOrder(len(directions)))[0]]
    first, above = recorded.along(rows, HigherOrders(orders))
    return [first, *orders.parts(above)]


def _highest(recorded: Any, rows: Tensor, orders: Orders, entry: Any = None) -> Tensor:
    """The only sum of coefficients of the highest order, `(n, m)`."""
    above: Any = orders.parts(recorded.along(rows, HigherOrders(orders), entry)[1])
    return above[-1][0]


def _weighted(weights: np.ndarray, stack: Tensor) -> Tensor:
    """The sum of slices with these weights, most of which are 0."""
    used = np.flatnonzero(weights)
    if len(used) == 1:
        return float(weights[used[0]]) * stack[int(used[0])]
    return xp.tensordot(xp.constant(weights, stack.dtype), stack, [[0], [0]])
