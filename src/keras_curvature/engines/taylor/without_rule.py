"""Power series through an op without a rule: derivatives in `t` of what it makes of `x(t)`.

The backend is asked for all orders along a direction at once: exact, at a price that grows with a
power of the order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.jets import Jet, spread
from keras_curvature.engines.taylor.registry import Jets, Step
from keras_curvature.engines.taylor.series import Orders, Series
from keras_curvature.typing import Tensor

Path = Callable[[Tensor], Sequence[Tensor]]
"""From a number to some tensors."""

Along = Callable[
    [Callable[[Sequence[Tensor]], Path], int, Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor]
]
"""From the path for a slice of each of some stacks, the highest order, the stacks, and tensors like
those on the path, to the stacks of their derivatives at 0: of order 1, then of order 2, …"""


def propagate(
    step: Step, jets: Jets, mode: HigherOrders, wanted: Sequence[int], along: Along
) -> Jets:
    """The jets of an op's outputs.

    Args:
        step: the op as it was run.
        jets: of its inputs.
        mode: carries the series.
        wanted: which outputs have derivatives.
        along: derivatives by a number, as the backend has them.
    """
    orders, highest = mode.orders, mode.orders.highest
    given = {
        i: [None if c is None else spread(c, x) for c in mode.series(x, jet).coefficients]
        for i, (x, jet) in enumerate(zip(step.inputs, jets, strict=True))
        if jet is not None
    }
    outputs = [step.outputs[i] for i in wanted]

    def derivatives(
        reach: int, exponents: Sequence[int], part: slice, at: slice = slice(None)
    ) -> list[list[Tensor]]:
        """Of orders up to one, where the coefficients `part` are multiplied with powers of `t`."""
        known = [
            (i, exponent, c[at])
            for i, coefficients in given.items()
            for exponent, c in zip(exponents, coefficients[part], strict=True)
            if c is not None
        ]
        if not known:
            count = len(range(*at.indices(mode.slices)))
            return [[xp.zeros([count, *y.shape], y.dtype) for y in outputs]] * reach

        def path_of(slices: Sequence[Tensor]) -> Path:
            def path(t: Tensor) -> Sequence[Tensor]:
                inputs = list(step.inputs)
                for (i, exponent, _), c in zip(known, slices, strict=True):
                    inputs[i] = inputs[i] + xp.cast(_power(t, exponent), c.dtype) * c
                results = step.again(inputs)
                return [results[i] for i in wanted]

            return path

        found = list(along(path_of, reach, [c for *_, c in known], outputs))
        return [found[k * len(outputs) : (k + 1) * len(outputs)] for k in range(reach)]

    rows: list[list[list[Tensor]]] = [[[] for _ in wanted] for _ in range(highest)]
    for reach, at in _alike(orders):
        # What is summed over the directions already is added below.
        own = reach - (reach == highest and orders.weights is not None)
        found = derivatives(reach, range(1, own + 1), slice(own), at)
        for row, ys in zip(rows, found, strict=False):
            for stacks, y in zip(row, ys, strict=True):
                stacks.append(y)
    summed: Sequence[Tensor | None] = [None] * len(wanted)
    if orders.weights is not None and any(cs[-1] is not None for cs in given.values()):
        (summed,) = derivatives(1, [1], slice(highest - 1, highest))
    results: list[Jet | None] = [None] * len(step.outputs)
    for i, stacks_of, more in zip(wanted, zip(*rows, strict=True), summed, strict=True):
        coefficients = [
            orders.summed(_joined(stacks) / math.factorial(order), order)
            for order, stacks in enumerate(stacks_of, 1)
        ]
        if more is not None:
            coefficients[-1] = coefficients[-1] + more
        y = step.outputs[i]
        results[i] = mode.jet(y, Series(orders, y, coefficients))
    return results


def _alike(orders: Orders) -> Iterator[tuple[int, slice]]:
    """Orders, and the directions that go as far as each."""
    start = 0
    for reach in range(orders.highest, 0, -1):
        end = orders.counts[reach - 1]
        if end > start:
            yield reach, slice(start, end)
        start = end


def _power(t: Tensor, exponent: int) -> Tensor:
    return math.prod([t] * (exponent - 1), start=t)


def _joined(stacks: Sequence[Tensor]) -> Tensor:
    return stacks[0] if len(stacks) == 1 else xp.concatenate(stacks, axis=0)
