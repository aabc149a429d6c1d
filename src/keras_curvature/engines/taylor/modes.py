"""Three ways to carry the second order through the ops.

- `PerDirection`: one second derivative per direction.
- `Collapsed`: their sum over the directions, all that a Laplacian or a trace needs
  (Li et al., A computational framework for neural network-based variational Monte Carlo
  with Forward Laplacian, 2024; Dangel et al., Collapsing Taylor mode AD, 2025).
- `Adjoint`: none at all. The second derivative of an output is the sum, over all ops, of
  the op's own second derivative along the tangents of its inputs, weighted with the
  output's gradient by the op's result (Griewank and Walther, Evaluating Derivatives,
  chapter 10.2). One tangent per direction and one reverse pass give every entry.

A rule says which `Terms` an op adds, a mode adds them up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.chain_rule import Argument, Bends, added, compose
from keras_curvature.engines.taylor.contractions import narrowed, widened
from keras_curvature.engines.taylor.jets import (
    Base,
    Composite,
    Jet,
    Pair,
    Pending,
    plus,
    scaled,
    stretch,
)
from keras_curvature.typing import Tensor

Map = Callable[[Tensor], Tensor]

Gradients = Mapping[Any, Tensor | None]
"""By the reference of a tensor of shape `(n, …)`: the gradients of all outputs by it,
`(m, n, …)`, or `None` for 0."""


@dataclass(frozen=True, eq=False)
class Pointwise:
    """The second-order term `apply(a_i * b_i)`, of stacks of one shape.

    Attributes:
        a: a stack.
        b: a stack.
        apply: linear, on stacks.
        adjoint: the transposed of `apply`, on weights that have the outputs in front.
    """

    a: Tensor
    b: Tensor
    apply: Map
    adjoint: Map


@dataclass(frozen=True, eq=False)
class Bilinear:
    """The second-order term `2 apply(a_i, b_i)` of a product.

    Attributes:
        a: a stack.
        b: a stack.
        apply: bilinear, on stacks, direction by direction.
        summed: the same summed over the directions where that is cheaper, with one slice.
        above: what is carried of both beyond their first derivatives, which `a` and `b` are.
    """

    a: Tensor
    b: Tensor
    apply: Callable[[Tensor, Tensor], Tensor]
    summed: Callable[[Tensor, Tensor], Tensor] | None = None
    above: tuple[Tensor | None, Tensor | None] = (None, None)


Term = Pointwise | Bilinear

SeriesOf = Callable[[Any], Any]
"""From the mode of higher orders to the `Series` of an op's result."""


class UnsuitedError(Exception):
    """This way of carrying the second order cannot go through an op."""


class Mode(ABC):
    """Adds up second orders.

    Attributes:
        directions: how many there are.
        has_second: whether second derivatives are handed on.
        wants_first: whether the first derivatives of the outputs are asked for.
    """

    has_second = True
    wants_first = True

    def __init__(self, directions: int) -> None:
        """Makes a mode for so many directions."""
        self.directions = directions

    @property
    def slices(self) -> int:
        """How many second derivatives are carried."""
        return self.directions

    @abstractmethod
    def contract(self, a: Tensor, b: Tensor) -> Tensor:
        """The products of two stacks, direction by direction or summed."""

    def contract_bases(self, one: Base, other: Base) -> Tensor:
        """The same of the first derivatives of two bases."""
        return self.contract(one.first, other.first)

    @abstractmethod
    def finish(
        self, value: Tensor, first: Tensor, second: Tensor | None, terms: Sequence[Term]
    ) -> Jet:
        """The jet of an op's result.

        Args:
            value: the result.
            first: its first derivatives.
            second: what its second derivatives inherit from those of the inputs.
            terms: what the op itself adds.
        """

    def settle(self, jet: Jet) -> Jet:
        """The jet with its derivatives worked out, for the next one who asks too."""
        if isinstance(jet.of, Composite):
            function, value = jet.of, jet.value
            slopes, second = list(map(xp.once, function.slopes)), None

            def first(*stacks: Tensor) -> Tensor:
                total = None
                for stack, slope in zip(stacks, slopes, strict=True):
                    total = plus(total, scaled(stack, slope))
                assert total is not None
                return stretch(total, value)

            for base, slope in zip(function.bases, slopes, strict=True):
                if base.second is not None:
                    second = plus(second, scaled(base.second, slope))
            for (i, j), bend in function.bends.items():
                both = self.contract_bases(function.bases[i], function.bases[j])
                second = plus(second, scaled(both, bend if i == j else 2 * bend))
            pending = Pending(value, function.bases, first)
            jet.of = Base(pending, None if second is None else stretch(second, value))
        return jet

    def elementwise(
        self,
        value: Tensor,
        arguments: Sequence[Argument],
        bends: Bends,
        series: SeriesOf | None = None,
    ) -> Jet:
        """The jet of an elementwise function of several arguments.

        Args:
            value: the result.
            arguments: the inputs that depend on the point.
            bends: second derivatives by a pair of arguments, `i <= j`; others are 0.
            series: the function's power series, for orders above the second.
        """
        function = compose(value, arguments, bends)
        if function is not None:
            return self.bent(value, *function)
        stacks = [self.settle(argument.jet).base for argument in arguments]
        firsts = [stretch(stack.first, value) for stack in stacks]
        first, second = None, None
        for argument, stack, mine in zip(arguments, stacks, firsts, strict=True):
            first = plus(first, scaled(mine, argument.slope))
            if stack.second is not None:
                second = plus(second, scaled(stretch(stack.second, value), argument.slope))
        terms = [
            Pointwise(firsts[i], firsts[j], *_scaling(bend if i == j else 2 * bend))
            for (i, j), bend in bends.items()
        ]
        assert first is not None
        return self.finish(value, first, second, terms)

    def bent(self, value: Tensor, function: Composite, own: Bends) -> Jet:
        """The jet of a function with the second derivatives that an op adds to it."""
        return Jet(value, replace(function, bends=added(function.bends, own)))


class PerDirection(Mode):
    """One second derivative per direction."""

    def contract(self, a: Tensor, b: Tensor) -> Tensor:
        """The products, direction by direction."""
        return xp.square(a) if a is b else a * b

    def multiply(self, term: Bilinear) -> Tensor:
        """The products, direction by direction."""
        return term.apply(term.a, term.b)

    def finish(
        self, value: Tensor, first: Tensor, second: Tensor | None, terms: Sequence[Term]
    ) -> Jet:
        """Adds the terms up."""
        for term in terms:
            if isinstance(term, Pointwise):
                second = plus(second, term.apply(self.contract(term.a, term.b)))
            else:
                second = plus(second, 2 * self.multiply(term))
        return Jet(value, Base(first, second))


class Collapsed(PerDirection):
    """The sum of the second derivatives over the directions."""

    wants_first = False

    @property
    def slices(self) -> int:
        """One sum."""
        return 1

    def contract(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of the products."""
        if a is b:
            return xp.sum_of_squares_over_directions(a)
        return xp.sum_over_directions(a * b)

    def contract_bases(self, one: Base, other: Base) -> Tensor:
        """The sum of the products, which may be known."""
        return one.sum_of_squares() if one is other else super().contract_bases(one, other)

    def multiply(self, term: Bilinear) -> Tensor:
        """The sum of the products."""
        if term.summed is not None:
            return term.summed(term.a, term.b)
        return xp.sum_over_directions(super().multiply(term))


class FirstOrder(Mode):
    """Leaves the second order out."""

    has_second = False

    def contract(self, a: Tensor, b: Tensor) -> Tensor:
        """Never needed."""
        raise AssertionError

    def finish(
        self, value: Tensor, first: Tensor, second: Tensor | None, terms: Sequence[Term]
    ) -> Jet:
        """Leaves the terms out."""
        return Jet(value, Base(first))

    def bent(self, value: Tensor, function: Composite, own: Bends) -> Jet:
        """Leaves the bends out."""
        return Jet(value, function)


class Adjoint(FirstOrder):
    """Contracts each op's own second derivatives with the outputs' gradients at once.

    Every tensor on the way has the batch in front.
    """

    def __init__(
        self,
        directions: int,
        gradients: Gradients,
        contraction: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    ) -> None:
        """Makes a mode.

        Args:
            directions: how many there are.
            gradients: of the outputs by what is on the way.
            contraction: from stacks `a`, `b` and weights `(m, n, …)` or `None` for 1, to the
                sums of `weight * a_i * b_j` over all axes but the batch.
        """
        super().__init__(directions)
        self._gradients = gradients
        self._contraction = contraction
        self._weights: dict[Pair, tuple[tuple[Base, Base], Tensor]] = {}
        self._total: Tensor | None = None

    def gradient(self, tensor: Tensor) -> Tensor | None:
        """The gradients of the outputs by a tensor, `(m, n, …)`, or `None` for 0."""
        return self._gradients[xp.key(tensor)]

    def learn(self, gradients: Gradients) -> None:
        """Adds the gradients by more tensors."""
        self._gradients = {**self._gradients, **gradients}

    def finish(
        self, value: Tensor, first: Tensor, second: Tensor | None, terms: Sequence[Term]
    ) -> Jet:
        """Contracts the terms with the gradients."""
        gradient = self.gradient(value) if terms else None
        if gradient is not None:
            for term in terms:
                self._add(self._contracted(term, gradient))
        return super().finish(value, first, second, terms)

    def bent(self, value: Tensor, function: Composite, own: Bends) -> Jet:
        """Keeps the weights of the op's own second derivatives with the bases."""
        gradient = self.gradient(value) if own else None
        if gradient is not None:
            for (i, j), bend in own.items():
                pair = function.bases[i], function.bases[j]
                weight = narrowed(_weighted(bend, gradient), *pair)
                key = id(pair[0]), id(pair[1])
                known = self._weights.get(key)
                self._weights[key] = (pair, weight if known is None else known[1] + weight)
        return super().bent(value, function, own)

    def total(self) -> Tensor | None:
        """The second derivatives of the outputs, or `None` where all are 0."""
        for (one, other), weight in self._weights.values():
            a, b = (widened(base.first, weight) for base in (one, other))
            self._add(self._contraction(a, b, weight))
            if one is not other:
                self._add(self._contraction(b, a, weight))
        self._weights = {}
        return self._total

    def _contracted(self, term: Term, gradient: Tensor) -> Tensor:
        if isinstance(term, Pointwise):
            found = self._contraction(term.a, term.b, term.adjoint(gradient))
            if term.a is term.b:
                return found
            return (found + self._contraction(term.b, term.a, term.adjoint(gradient))) / 2
        parts = []
        for back in xp.pulled_back(lambda a: term.apply(a, term.b), term.a, xp.unstack(gradient)):
            one_way = self._contraction(term.a, back, None)
            parts.append(one_way + self._contraction(back, term.a, None))
        return xp.concatenate(parts, axis=1)

    def _add(self, part: Tensor) -> None:
        self._total = part if self._total is None else self._total + part


def _scaling(factor: Tensor) -> tuple[Map, Map]:
    return lambda stack: xp.scaled(stack, factor), lambda weight: _weighted(factor, weight)


def _weighted(bend: Tensor, gradient: Tensor) -> Tensor:
    """Nothing comes of what no output depends on, be it infinite: what a `where` leaves out."""
    return xp.multiply_no_nan(bend, gradient)
