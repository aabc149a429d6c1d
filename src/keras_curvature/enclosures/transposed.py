"""What is read of an op to go back through it: its linear map and the transpose, or its function.

Numbers are flat here, on the last axis, with any axes in front.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from keras_curvature.enclosures import elementary, jet
from keras_curvature.enclosures.functions import Function, HasRange
from keras_curvature.enclosures.interval import SMALL
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.linear_map import Matrix, Moved
from keras_curvature.enclosures.use import Apply, Use
from keras_curvature.typing import Array


class LinearMap(Protocol):
    """A linear map without a constant.

    Attributes:
        terms: no sum has more, in neither direction.
    """

    @property
    def terms(self) -> int:
        """How many terms the longest sum has, in either direction."""

    def forward(self, x: Array) -> Array:
        """The results."""

    def sizes(self, x: Array) -> Array:
        """The same with the magnitudes of the weights."""

    def back(self, rows: Array) -> Array:
        """From the coefficients of linear functions of the results to those of the inputs."""

    def sizes_back(self, rows: Array) -> Array:
        """The same with the magnitudes of the weights."""


@dataclass(frozen=True, eq=False)
class Product:
    """`x @ weights`, of one row or of several that stand in other places than `x` has them.

    Attributes:
        weights: `(inputs, outputs)`.
        takes: where the entries of the rows are in `x`; `None` where they are in order.
        gives: where the results are among the products.
    """

    weights: Array
    takes: Any = None
    gives: Any = None

    @property
    def terms(self) -> int:
        """How many terms the longest sum has, in either direction."""
        return max(self.weights.shape)

    @functools.cached_property
    def _sizes(self) -> Array:
        return np.abs(self.weights)

    @functools.cached_property
    def _transposed(self) -> Array:
        return np.ascontiguousarray(self.weights.T)

    @functools.cached_property
    def _sizes_transposed(self) -> Array:
        return np.ascontiguousarray(self._sizes.T)

    @functools.cached_property
    def _returns(self) -> tuple[Any, Any]:
        """The inverse permutations."""
        ends = (self.takes, self.gives)
        return tuple(None if end is None else np.argsort(end) for end in ends)  # type: ignore[return-value]

    def _through(self, x: Array, weights: Array, first: Any, last: Any) -> Array:
        lead = x.shape[:-1]
        x = x if first is None else x[..., first]
        found: Array = (x.reshape(-1, len(weights)) @ weights).reshape(*lead, -1)
        return found if last is None else found[..., last]

    def forward(self, x: Array) -> Array:
        """The results."""
        return self._through(x, self.weights, self.takes, self.gives)

    def sizes(self, x: Array) -> Array:
        """The same with the magnitudes of the weights."""
        return self._through(x, self._sizes, self.takes, self.gives)

    def back(self, rows: Array) -> Array:
        """From the coefficients of the results to those of the inputs."""
        takes, gives = self._returns
        return self._through(rows, self._transposed, gives, takes)

    def sizes_back(self, rows: Array) -> Array:
        """The same with the magnitudes of the weights."""
        takes, gives = self._returns
        return self._through(rows, self._sizes_transposed, gives, takes)


@dataclass(frozen=True, eq=False)
class Picked:
    """`factors * x[source]`, and 0 where the source is -1.

    Attributes:
        source: a place for each result.
        size: how many inputs there are.
        factors: for each result, or `None` where they are 1.
    """

    source: Any
    size: int
    factors: Array | None = None

    @functools.cached_property
    def _stays(self) -> bool:
        return bool(np.array_equal(self.source, np.arange(self.size)))

    @functools.cached_property
    def _sorted(self) -> tuple[Any, Any, Any]:
        """The results in the order of their sources, where each source begins, and the sources."""
        order = np.argsort(self.source, kind="stable")
        order = order[np.count_nonzero(self.source < 0) :]
        places, starts = np.unique(self.source[order], return_index=True)
        return order, starts, places

    @property
    def terms(self) -> int:
        """How many terms the longest sum has, in either direction."""
        return len(self.source)

    @property
    def is_identity(self) -> bool:
        """Whether all numbers stay as they are."""
        return self._stays and self.factors is None and len(self.source) == self.size

    def _picked(self, x: Array, factors: Array | None) -> Array:
        if not self._stays:
            x = x[..., np.maximum(self.source, 0)]
            x[..., self.source < 0] = 0.0
        return x if factors is None else x * factors

    def forward(self, x: Array) -> Array:
        """The results."""
        return self._picked(x, self.factors)

    def sizes(self, x: Array) -> Array:
        """The same with the magnitudes of the factors."""
        return self._picked(x, None if self.factors is None else np.abs(self.factors))

    def back(self, rows: Array) -> Array:
        """From the coefficients of the results to those of the inputs."""
        return self._added(rows if self.factors is None else rows * self.factors)

    def sizes_back(self, rows: Array) -> Array:
        """The same with the magnitudes of the factors."""
        return self._added(rows if self.factors is None else rows * np.abs(self.factors))

    def _added(self, rows: Array) -> Array:
        """Each where it comes from."""
        if self._stays:
            return rows
        order, starts, places = self._sorted
        found = np.zeros((*rows.shape[:-1], self.size))
        if len(places):
            taken = rows[..., order]
            found[..., places] = (
                taken if len(starts) == len(order) else np.add.reduceat(taken, starts, axis=-1)
            )
        return found


@dataclass(frozen=True, eq=False)
class Linear:
    """An op that is a sum of linear maps of what it reads, and a constant.

    Attributes:
        apply: how it takes on enclosures.
        maps: one for each tensor that it reads, to all of its results side by side.
        constant: these at 0.
        sizes: of its results.
    """

    apply: Apply
    maps: tuple[LinearMap, ...]
    constant: Array
    sizes: tuple[int, ...]

    def __call__(self, jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        """The enclosures of the results."""
        return self.apply(jets, pairs)


@dataclass(frozen=True, eq=False)
class Elementwise:
    """A function of each entry of what it reads.

    Attributes:
        apply: how it takes on enclosures.
        function: of one number.
    """

    apply: Apply
    function: HasRange

    def __call__(self, jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        """The enclosures of the results."""
        return self.apply(jets, pairs)


@dataclass(frozen=True, eq=False)
class Multiplied:
    """An op that multiplies two tensors, entry by entry.

    Attributes:
        apply: how it takes on enclosures.
        maps: from each factor to where its entries are in the result.
    """

    apply: Apply
    maps: tuple[LinearMap, ...]

    def __call__(self, jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
        """The enclosures of the results."""
        return self.apply(jets, pairs)


def elementwise(function: HasRange) -> Elementwise:
    """A function of each entry."""
    return Elementwise(lambda jets, pairs: [jet.through(function, jets[0], pairs)], function)


def is_straight(function: HasRange) -> bool:
    """Whether a function consists of straight pieces."""
    return isinstance(function, Function) and function.derivatives[2] is np.zeros_like


def of_step(
    apply: Apply, found: Matrix | Moved, sizes: Sequence[int], outputs: Sequence[int]
) -> Linear:
    """A linear op whose inputs and results are each side by side."""
    maps: list[LinearMap] = []
    starts = np.cumsum([0, *sizes])
    for start, end in itertools.pairwise(starts):
        if isinstance(found, Matrix):
            maps.append(Product((found.positive + found.negative)[start:end]))
        else:
            own = (found.source >= start) & (found.source < end)
            maps.append(Picked(np.where(own, found.source - start, -1), int(end - start)))
    constant = np.zeros(sum(outputs))
    if isinstance(found, Moved):
        constant = np.where(found.source < 0, found.constants, 0.0)
    return Linear(apply, tuple(maps), constant, tuple(outputs))


def of_product(apply: Apply, weights: Array, takes: Any, gives: Any) -> Linear:
    """A product of matrices, of which the second is held."""
    in_order = [None if np.array_equal(x, np.arange(len(x))) else x for x in (takes, gives)]
    map_ = Product(weights, *in_order)
    return Linear(apply, (map_,), np.zeros(len(gives)), (len(gives),))


def of_word(apply: Apply, use: Use, name: str, order: Sequence[int]) -> Apply:
    """A sum, a multiple or the like as a linear op, a maximum with a number as a function."""
    if name in ("maximum", "minimum") and len(use.active) == 1:
        try:
            number = use.number(next(i for i in order if i not in use.active))
        except NotImplementedError:
            return apply
        if math.prod(use.shape) != math.prod(use.step.inputs[use.active[0]].shape):
            return apply
        ends = (number, np.inf) if name == "maximum" else (-np.inf, number)
        return Elementwise(apply, elementary.clip(*ends)) if np.isfinite(number) else apply
    if name == "mul" and len(use.active) == 2:
        return Multiplied(apply, tuple(Picked(_spread(use, i), _size(use, i)) for i in use.active))
    factors = {"add": (1.0, 1.0), "sub": (1.0, -1.0), "neg": (-1.0,)}.get(name)
    if name in ("mul", "div") and len(use.active) == 1:
        held = next(i for i in order if i not in use.active)
        if name == "div" and held == order[0]:
            return apply
        with np.errstate(all="ignore"):
            weight = use.constant(held) if name == "mul" else 1 / use.constant(held)
        size = np.abs(weight)
        if not ((size == 0) | ((size > SMALL) & (size < 1 / SMALL))).all():
            return apply
        weight = np.broadcast_to(weight, use.shape).ravel()
        (active,) = use.active
        maps = [Picked(_spread(use, active), _size(use, active), weight)]
        return Linear(apply, tuple(maps), np.zeros(len(weight)), (len(weight),))
    if factors is None:
        return apply
    by_place: dict[int, LinearMap] = {}
    constant = np.zeros(math.prod(use.shape))
    for i, factor in zip(order, factors, strict=True):
        if i in use.active:
            signs = None if factor == 1 else np.full(len(constant), factor)
            by_place[i] = Picked(_spread(use, i), _size(use, i), signs)
        else:
            constant = constant + factor * np.broadcast_to(use.constant(i), use.shape).ravel()
    if not np.isfinite(constant).all():
        return apply
    return Linear(apply, tuple(by_place[i] for i in use.active), constant, (len(constant),))


def of_same(apply: Apply, use: Use) -> Apply:
    """An op that leaves its numbers as they are."""
    if len(use.active) != 1 or len(use.step.outputs) != 1:
        return apply
    size = _size(use, use.active[0])
    return Linear(apply, (Picked(np.arange(size), size),), np.zeros(size), (size,))


def of_sum(apply: Apply, use: Use, held: Sequence[Array]) -> Linear:
    """A sum of any number of tensors."""
    constant = np.zeros(math.prod(use.shape))
    for x in held:
        constant = constant + np.broadcast_to(x, use.shape).ravel()
    maps = tuple(Picked(_spread(use, i), _size(use, i)) for i in use.active)
    return Linear(apply, maps, constant, (len(constant),))


def _size(use: Use, i: int) -> int:
    return math.prod(use.step.inputs[i].shape)


def _spread(use: Use, i: int) -> Any:
    """Which entry of an input each entry of the result takes."""
    shape = tuple(use.step.inputs[i].shape)
    return np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), use.shape).ravel()
