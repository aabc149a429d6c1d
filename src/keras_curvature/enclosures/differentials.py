"""Differentials of ops on jets: what a change of a jet changes in what an op makes of it.

To an op with the differential `dh = k du` belong those of the derivatives, by the product rule:
`dh_i = k du_i + k_i du` and `dh_ij = k du_ij + k_i du_j + k_j du_i + k_ij du`, with the derivatives
of k along the same directions. Of a function of a number k is its slope, of a product the other
factor, of a linear map its matrix, which has no derivatives. All is flat here, `(boxes, n)`,
`(boxes, directions, n)` and `(boxes, pairs, n)`, of one box where it is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.enclosures import interval, jet
from keras_curvature.enclosures.functions import Function
from keras_curvature.enclosures.interval import SMALL, Interval
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.transposed import (
    Elementwise,
    Linear,
    LinearMap,
    Multiplied,
    Picked,
)
from keras_curvature.enclosures.use import Apply
from keras_curvature.typing import Array

UNIT = 2.0**-52

Key = tuple[int, ...]
"""By which directions something is differentiated: none, one, or a pair."""

Adjoint = Mapping[Key, Interval]
"""What one number changes by with each entry of a jet, `(boxes, n)`; what is left out is 0."""


@dataclass(frozen=True, eq=False)
class Sizes:
    """Magnitudes that changes of a jet have at most; `None` where they are 0."""

    value: Array
    slope: Array | None
    bend: Array | None

    def of(self, key: Key, places: Mapping[Key, int]) -> Array | None:
        """Of one derivative."""
        if not key:
            return self.value
        if len(key) == 1:
            return None if self.slope is None else self.slope[:, key[0]]
        return None if self.bend is None else self.bend[:, places[key]]


@dataclass(frozen=True)
class _Slope:
    """The derivative of a function, as a function."""

    of: Function

    def ranges(self, x: Interval, highest: int) -> list[Interval]:
        """The ranges of f', f'', … over intervals."""
        return [self.of.range(order, x) for order in range(1, highest + 2)]


@dataclass(frozen=True, eq=False)
class Differential:
    """Of an op, by one of the tensors that it reads.

    Attributes:
        map: from the entries of the tensor to those of the results side by side; `None` where they
            are the same.
        factor: k and its derivatives, flat; `None` of a linear op.
    """

    map: LinearMap | None
    factor: JetBounds | None

    def forward(self, x: Sizes, pairs: Pairs) -> Sizes:
        """How large changes are behind the op."""
        moved = self._moved(x.value)
        assert moved is not None
        x = Sizes(moved, self._moved(x.slope), self._moved(x.bend))
        if self.factor is None:
            return x
        k = _magnitudes(self.factor)
        value = _times(k.value, x.value)
        assert value is not None
        if k.slope is None and x.slope is None:
            return Sizes(value, None, None)
        lead = k.value[:, None], x.value[:, None]
        slope = _sum(_times(lead[0], x.slope), _times(k.slope, lead[1]))
        bend = _sum(_times(lead[0], x.bend), _times(k.bend, lead[1]))
        if k.slope is not None and x.slope is not None and len(pairs.first):
            i, j = pairs.first, pairs.second
            bend = _sum(bend, _times(k.slope[:, i], x.slope[:, j]))
            bend = _sum(bend, _times(k.slope[:, j], x.slope[:, i]))
        return Sizes(value, slope, bend)

    def _moved(self, x: Array | None) -> Array | None:
        if x is None or self.map is None:
            return x
        with np.errstate(invalid="ignore"):
            found = self.map.sizes(x) * (1 + 2 * (self.map.terms + 8) * UNIT) + SMALL
        return _without_nan(found)

    def back(self, adjoint: Adjoint, places: Mapping[Key, int]) -> Adjoint:
        """From an adjoint of the results to one of the tensor."""
        if self.factor is not None:
            adjoint = _multiplied(self.factor, adjoint, places)
        if self.map is None or not adjoint:
            return adjoint
        return dict(zip(adjoint, _through(self.map, list(adjoint.values())), strict=True))


def differentials(apply: Apply, given: Sequence[JetBounds], pairs: Pairs) -> list[Differential]:
    """Of an op by each tensor that it reads; none where they are not known.

    Args:
        apply: the op.
        given: bounds of these tensors, flat.
        pairs: of directions.
    """
    if isinstance(apply, Linear):
        return [Differential(None if _stays(map_) else map_, None) for map_ in apply.maps]
    if isinstance(apply, Elementwise) and has_differential(apply):
        assert isinstance(apply.function, Function)
        return [Differential(None, jet.through(_Slope(apply.function), given[0], pairs))]
    if isinstance(apply, Multiplied):
        factors = [
            _flat(map_, jet_) for map_, jet_ in zip(apply.maps[::-1], given[::-1], strict=True)
        ]
        return [
            Differential(None if _stays(map_) else map_, factor)
            for map_, factor in zip(apply.maps, factors, strict=True)
        ]
    return []


def has_differential(apply: Apply) -> bool:
    """Whether the differentials of an op are known."""
    if isinstance(apply, Elementwise):
        return isinstance(apply.function, Function) and apply.function.higher is not None
    return isinstance(apply, (Linear, Multiplied))


def _stays(map_: LinearMap) -> bool:
    return isinstance(map_, Picked) and map_.is_identity


def _flat(map_: LinearMap, x: JetBounds) -> JetBounds:
    """Where its entries are in the result: they are only moved."""
    value, slope, bend = (
        None if part is None else part.map(map_.forward) for part in (x.value, x.slope, x.bend)
    )
    assert value is not None
    return JetBounds(value, slope, bend)


def _magnitudes(x: JetBounds) -> Sizes:
    value, slope, bend = (
        None if part is None else magnitude(part) for part in (x.value, x.slope, x.bend)
    )
    assert value is not None
    return Sizes(value, slope, bend)


def magnitude(x: Interval) -> Array:
    """The largest one."""
    return _without_nan(np.maximum(-x.lower, x.upper))


def _without_nan(x: Array) -> Array:
    """What is no number may be any."""
    bad = np.isnan(x)
    return np.where(bad, np.inf, x) if bad.any() else x


def _times(a: Array | None, b: Array | None) -> Array | None:
    """A product of magnitudes, rounded upwards."""
    if a is None or b is None:
        return None
    with np.errstate(invalid="ignore"):
        return _without_nan(a * b * (1 + 4 * UNIT) + SMALL)


def _sum(a: Array | None, b: Array | None) -> Array | None:
    """A sum of them."""
    if a is None or b is None:
        return b if a is None else a
    return (a + b) * (1 + 2 * UNIT)


def added(parts: Iterable[Sizes]) -> Sizes:
    """Sums of magnitudes."""
    first, *others = parts
    for other in others:
        value = _sum(first.value, other.value)
        assert value is not None
        slope, bend = _sum(first.slope, other.slope), _sum(first.bend, other.bend)
        first = Sizes(value, slope, bend)
    return first


def _multiplied(factor: JetBounds, adjoint: Adjoint, places: Mapping[Key, int]) -> Adjoint:
    """By the product rule: the adjoint by du_i is that by dh_i times k, that by dh_ij times k_j."""
    found: dict[Key, Interval] = {}
    for key, number in adjoint.items():
        for left, taken in _parts(key):
            k = _component(factor, left, places)
            if k is None:
                continue
            part = interval.multiply(k, number)
            if len(key) == 2 and key[0] == key[1] and len(taken) == 1:  # k_i du_i twice
                part = Interval(2 * part.lower, 2 * part.upper)
            found[taken] = interval.add(found[taken], part) if taken in found else part
    return found


def _parts(key: Key) -> list[tuple[Key, Key]]:
    """The directions divided into two, in all ways; both are the same if the directions are."""
    if len(key) < 2:
        return [((), key), (key, ())] if key else [((), ())]
    i, j = key
    both: list[tuple[Key, Key]] = [((), key), ((i,), (j,)), ((j,), (i,)), (key, ())]
    return both if i != j else [both[0], both[1], both[3]]


def _component(x: JetBounds, key: Key, places: Mapping[Key, int]) -> Interval | None:
    if not key:
        return x.value
    part, place = (x.slope, key[0]) if len(key) == 1 else (x.bend, places.get(key, 0))
    return None if part is None else part[:, place]


def _through(map_: LinearMap, rows: list[Interval]) -> list[Interval]:
    """Adjoints back through a linear map, as their middles and how far they are from these."""
    count = max(len(row.lower) for row in rows)
    shape = (len(rows), count, rows[0].shape[-1])
    lower, upper = np.empty(shape), np.empty(shape)
    for k, row in enumerate(rows):
        lower[k], upper[k] = row.lower, row.upper
    share = 2 * (map_.terms + 8) * UNIT
    with np.errstate(invalid="ignore"):
        middle = lower / 2 + upper / 2
        known = np.isfinite(middle)
        if not known.all():
            middle = np.where(known, middle, 0.0)
        radius = np.maximum(upper - middle, middle - lower) + share * np.abs(middle)
        most = radius.max(axis=-1, keepdims=True)
        at, off = map_.back(middle), map_.sizes_back(radius) * (1 + share)
        off = _without_nan(np.where((off < SMALL) & ~(most == 0), SMALL, off))
        found = interval.outward(at - off, at + off)
    return [found[k] for k in range(len(rows))]
