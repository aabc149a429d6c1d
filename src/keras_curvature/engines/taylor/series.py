"""Truncated power series along directions, and what arithmetic makes of them.

Along a direction, `y(t) = y_0 + y_1 t + y_2 t² + …`: the coefficient `y_k` is the k-th derivative
divided by `k!` (Griewank and Walther, Evaluating Derivatives, chapter 13).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.jets import plus, scaled, stretch
from keras_curvature.typing import Tensor


@dataclass(frozen=True, eq=False)
class Orders:
    """How many directions go how far.

    Attributes:
        counts: how many go to order 1, to order 2, …; those that go further come first.
        weights: of the coefficients of the highest order along the directions that go there, in
            the sums that are all that is asked of them, `(sums, directions)`; `None` where each is.
    """

    counts: tuple[int, ...]
    weights: np.ndarray | None = None

    @property
    def highest(self) -> int:
        """The highest order."""
        return len(self.counts)

    def slices(self, order: int) -> int:
        """How many slices the coefficients of an order have."""
        if order == self.highest and self.weights is not None:
            return len(self.weights)
        return self.counts[order - 1]

    @property
    def above_first(self) -> int:
        """How many slices the coefficients of all orders above the first have."""
        return sum(map(self.slices, range(2, self.highest + 1)))

    def parts(self, stack: Tensor | None) -> list[Tensor | None]:
        """A stack of the coefficients of all orders above the first, apart."""
        found: list[Tensor | None] = []
        start = 0
        for order in range(2, self.highest + 1):
            end = start + self.slices(order)
            found.append(None if stack is None else stack[start:end])
            start = end
        return found

    def of(self, stack: Tensor, order: int) -> Tensor:
        """The slices of a lower order's coefficients that belong to directions of this one."""
        count = self.counts[order - 1]
        return stack if stack.shape[0] == count else stack[:count]

    def summed(self, stack: Tensor | None, order: int) -> Tensor | None:
        """What is asked of coefficients along the directions of an order."""
        if stack is None or order < self.highest or self.weights is None:
            return stack
        if len(self.weights) == 1 and np.ptp(self.weights) == 0:
            return float(self.weights[0, 0]) * xp.sum_over_directions(stack)
        return xp.tensordot(xp.constant(self.weights, stack.dtype), stack, [[1], [0]])


class Series:
    """A tensor along directions: its value, and a stack of coefficients for each order."""

    def __init__(
        self, orders: Orders, value: Tensor, coefficients: Sequence[Tensor | None] = ()
    ) -> None:
        """Keeps them.

        Args:
            orders: how many directions go how far.
            value: the tensor at the point.
            coefficients: of the orders from 1 on, `(slices, *shape)`; `None` for 0.
        """
        self.orders = orders
        self.value = value
        self._coefficients = list(coefficients) or [None] * orders.highest

    def __getitem__(self, order: int) -> Tensor | None:
        """The coefficients of an order, from 1 on."""
        return self._coefficients[order - 1]

    @property
    def coefficients(self) -> Sequence[Tensor | None]:
        """Of all orders from 1 on."""
        return self._coefficients

    def stretched(self, value: Tensor) -> Series:
        """The same, of all axes of a tensor to which it is broadcast."""
        wide = [None if c is None else stretch(c, value) for c in self._coefficients]
        return Series(self.orders, self.value, wide)

    def map(self, linear: Callable[[Tensor], Tensor], value: Tensor) -> Series:
        """A linear function of it, by what that does to stacks and its value."""
        found = [None if c is None else linear(c) for c in self._coefficients]
        return Series(self.orders, value, found)

    def __neg__(self) -> Series:
        """`-y`."""
        return self.map(lambda stack: -stack, -self.value)

    def __add__(self, other: Series) -> Series:
        """`y + z`."""
        found = [plus(a, b) for a, b in zip(self.coefficients, other.coefficients, strict=True)]
        return Series(self.orders, self.value + other.value, found)

    def __sub__(self, other: Series) -> Series:
        """`y - z`."""
        return self + -other

    def __mul__(self, other: Series) -> Series:
        """`y z`."""

        def own(order: int) -> Tensor | None:
            return self._products(other, order)

        def inherited(order: int) -> Tensor | None:
            return plus(_times(self[order], other.value), _times(other[order], self.value))

        return self._built(self.value * other.value, inherited, own)

    def __truediv__(self, other: Series) -> Series:
        """`y / z`."""
        return self * other.reciprocal()

    def reciprocal(self) -> Series:
        """`1 / y`."""
        inverse = 1 / self.value
        powers = [inverse]
        for _ in range(self.orders.highest):
            powers.append(-powers[-1] * inverse)
        return self.through(powers)

    def through(self, taylor: Sequence[Tensor], *, infinite: bool = False) -> Series:
        """A function of each of its numbers, by the function's own coefficients at the value.

        Args:
            taylor: `f^(k) / k!` for `k` from 0 on, each in the shape of the value.
            infinite: whether they may be infinite where nothing depends on the directions, which
                must have no effect.
        """
        times = _times_no_nan if infinite else _times
        powers = {1: dict(enumerate(self._coefficients, 1))}

        def power(exponent: int, order: int) -> Tensor | None:
            """The coefficients of a power of what is added to the value."""
            known = powers.setdefault(exponent, {})
            if order not in known:
                half = exponent == 2
                known[order] = (
                    self._products(self, order)
                    if half
                    else _sum(
                        self._product(power(exponent - 1, i), self[order - i], order)
                        for i in range(exponent - 1, order)
                    )
                )
            return known[order]

        def own(order: int) -> Tensor | None:
            return _sum(times(power(j, order), taylor[j]) for j in range(2, order + 1))

        return self._built(taylor[0], lambda order: times(self[order], taylor[1]), own)

    def _built(
        self,
        value: Tensor,
        inherited: Callable[[int], Tensor | None],
        own: Callable[[int], Tensor | None],
    ) -> Series:
        """What coefficients of the same order add, and what products of lower ones do."""
        found = [
            plus(inherited(k), self.orders.summed(own(k), k))
            for k in range(1, self.orders.highest + 1)
        ]
        return Series(self.orders, value, found)

    def _products(self, other: Series, order: int) -> Tensor | None:
        """The products of coefficients whose orders add up to one."""
        if self is not other:
            return _sum(self._product(self[i], other[order - i], order) for i in range(1, order))
        pairs = _sum(
            self._product(self[i], self[order - i], order) for i in range(1, (order + 1) // 2)
        )
        twice = None if pairs is None else 2 * pairs
        if order % 2:
            return twice
        return plus(twice, self._product(self[order // 2], self[order // 2], order))

    def _product(self, a: Tensor | None, b: Tensor | None, order: int) -> Tensor | None:
        if a is None or b is None:
            return None
        if a is b:
            return xp.square(self.orders.of(a, order))
        return self.orders.of(a, order) * self.orders.of(b, order)


def _times(stack: Tensor | None, factor: Tensor | float) -> Tensor | None:
    if stack is None or isinstance(factor, (int, float)):
        return None if stack is None or factor == 0 else factor * stack
    return scaled(stack, factor)


def _times_no_nan(stack: Tensor | None, factor: Tensor) -> Tensor | None:
    return None if stack is None else xp.multiply_no_nan(factor, stack)


def _sum(parts: object) -> Tensor | None:
    return functools.reduce(plus, parts, None)  # type: ignore[call-overload]
