"""Power series through an op without a rule: derivatives in `t` of what it makes of `x(t)`.

The backend is asked for each, one direction after the other: exact, at a price that doubles with
every order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.jets import Jet, spread
from keras_curvature.engines.taylor.registry import Jets, Step
from keras_curvature.engines.taylor.series import Series
from keras_curvature.typing import Tensor

Path = Callable[[Tensor], Sequence[Tensor]]
"""From a number to some tensors."""


def propagate(
    step: Step,
    jets: Jets,
    mode: HigherOrders,
    wanted: Sequence[int],
    derivative: Callable[[Path], Path],
) -> Jets:
    """The jets of an op's outputs.

    Args:
        step: the op as it was run.
        jets: of its inputs.
        mode: carries the series.
        wanted: which outputs have derivatives.
        derivative: of some tensors by the number that they depend on, as the backend has it.
    """
    orders, highest = mode.orders, mode.orders.highest
    given = {
        i: [None if c is None else spread(c, x) for c in mode.series(x, jet).coefficients]
        for i, (x, jet) in enumerate(zip(step.inputs, jets, strict=True))
        if jet is not None
    }
    start = xp.zeros([], xp.real_dtype(step.inputs[next(iter(given))].dtype))

    def along(some: Mapping[int, Sequence[Tensor | None]]) -> Path:
        def outputs(t: Tensor) -> Sequence[Tensor]:
            inputs = list(step.inputs)
            for i, slices in some.items():
                power = t
                for c in slices:
                    if c is not None:
                        inputs[i] = inputs[i] + xp.cast(power, c.dtype) * c
                    power = power * t
            results = step.again(inputs)
            return [results[i] for i in wanted]

        return outputs

    found: list[list[list[Tensor]]] = [[[] for _ in wanted] for _ in range(highest)]
    for s in range(orders.counts[0]):
        reach = sum(count > s for count in orders.counts)
        # What is summed over the directions already is added below.
        own = reach - (reach == highest and orders.weights is not None)
        path = along(
            {i: [None if c is None else c[s] for c in cs[:own]] for i, cs in given.items()}
        )
        for order in range(1, reach + 1):
            path = derivative(path)
            for row, y in zip(found[order - 1], path(start), strict=True):
                row.append(y / math.factorial(order))
    stacks = [
        [orders.summed(xp.stack(row), order) for order, row in enumerate(rows, 1)]
        for rows in zip(*found, strict=True)
    ]
    if orders.weights is not None:
        for s in range(len(orders.weights)):
            top = {i: [None if (c := cs[-1]) is None else c[s]] for i, cs in given.items()}
            for coefficients, y in zip(stacks, derivative(along(top))(start), strict=True):
                coefficients[-1] = _plus_at(coefficients[-1], s, y)
    results: list[Jet | None] = [None] * len(step.outputs)
    for i, coefficients in zip(wanted, stacks, strict=True):
        y = step.outputs[i]
        results[i] = mode.jet(y, Series(orders, y, coefficients))
    return results


def _plus_at(stack: Tensor, index: int, part: Tensor) -> Tensor:
    """A stack with something added to one slice."""
    slices = xp.unstack(stack)
    return xp.stack([s + part if i == index else s for i, s in enumerate(slices)])
