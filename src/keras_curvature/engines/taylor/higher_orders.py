"""Carries power series of any order through the ops.

A jet's `first` has the coefficients of order 1. Those of all others lie one after the other in its
`second`: what is linear treats all slices alike, so that the rules of linear ops are those of the
second order. For products and functions `Series` has the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.chain_rule import Argument, Bends
from keras_curvature.engines.taylor.jets import Base, Jet, plus, scaled, sizes, stretch
from keras_curvature.engines.taylor.modes import Bilinear, Mode, SeriesOf, Term
from keras_curvature.engines.taylor.series import Orders, Series
from keras_curvature.typing import Tensor


class HigherOrders(Mode):
    """Coefficients of power series: `second` has those of all orders above the first."""

    def __init__(self, orders: Orders) -> None:
        """Makes a mode for directions that go so far."""
        super().__init__(orders.counts[0])
        self.orders = orders

    @property
    def slices(self) -> int:
        """Of all orders above the first."""
        return self.orders.above_first

    def series(self, value: Tensor, jet: Jet | None) -> Series:
        """What is known of a tensor; of a constant that its coefficients are 0."""
        if jet is None:
            return Series(self.orders, value)
        base = self.settle(jet).base
        return Series(self.orders, value, [base.first, *self.orders.parts(base.second)])

    def jet(self, value: Tensor, series: Series) -> Jet:
        """What is known of an op's result."""
        first, *others = series.coefficients
        if first is None:
            some = next(c for c in others if c is not None)
            first = xp.zeros([self.directions, *sizes(some, 1)], some.dtype)
        return Jet(value, Base(first, self._whole(value, others)))

    def _whole(self, value: Tensor, others: Sequence[Tensor | None]) -> Tensor | None:
        known = [stack for stack in others if stack is not None]
        if not known:
            return None
        widest = max(known, key=lambda stack: 0 if _examples(stack) == [1] else 1)
        shape = sizes(widest, 1)
        whole = [
            xp.zeros([self.orders.slices(order), *shape], widest.dtype)
            if stack is None
            else stack
            if _examples(stack) == _examples(widest)
            else xp.broadcast_to(stack, [self.orders.slices(order), *shape])
            for order, stack in enumerate(others, 2)
        ]
        return whole[0] if len(whole) == 1 else xp.concatenate(whole, axis=0)

    def contract(self, a: Tensor, b: Tensor) -> Tensor:
        """Never needed."""
        raise AssertionError

    def finish(
        self, value: Tensor, first: Tensor, second: Tensor | None, terms: Sequence[Term]
    ) -> Jet:
        """Adds the products of lower orders up.

        Raises:
            NotImplementedError: for a term that is known of the second order only.
        """
        others = self.orders.parts(second)
        for term in terms:
            if not isinstance(term, Bilinear):
                raise NotImplementedError("orders above the second")
            for order in range(2, self.orders.highest + 1):
                own = self.orders.summed(self._products(term, order), order)
                others[order - 2] = plus(others[order - 2], own)
        return Jet(value, Base(first, self._whole(value, others)))

    def _products(self, term: Bilinear, order: int) -> Tensor | None:
        left = [term.a, *self.orders.parts(term.above[0])]
        right = [term.b, *self.orders.parts(term.above[1])]
        total = None
        for i in range(1, order):
            a, b = left[i - 1], right[order - i - 1]
            if a is not None and b is not None:
                total = plus(total, term.apply(self.orders.of(a, order), self.orders.of(b, order)))
        return total

    def elementwise(
        self,
        value: Tensor,
        arguments: Sequence[Argument],
        bends: Bends,
        series: SeriesOf | None = None,
    ) -> Jet:
        """A function of each number, by its series.

        Raises:
            NotImplementedError: where there is none.
        """
        if bends and series is None:
            raise NotImplementedError("orders above the second")
        if series is not None:
            return self.jet(value, series(self).stretched(value))
        first, second = None, None
        for argument in arguments:
            base = self.settle(argument.jet).base
            first = plus(first, scaled(stretch(base.first, value), argument.slope))
            if base.second is not None:
                second = plus(second, scaled(stretch(base.second, value), argument.slope))
        assert first is not None
        return Jet(value, Base(first, second))


def _examples(stack: Tensor) -> list[int | None]:
    """How many a stack is for; of a single number's there is no such axis."""
    return list(stack.shape[1:2])
