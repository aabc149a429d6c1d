"""Rests of Taylor models by adjoints: how much each op's own rest counts in the results.

Carried from op to op, rests add up by the magnitudes of weights, as if none of them ever cancelled.
Here each op has but its own rest: how far the truth may be from its polynomials were those that it
reads exact, `e_k = h_k(p) - p_k`. Between the polynomials and the truth there is a way,
`y_k(t) = h_k(y(t)) - (1 - t) e_k` with t from 0 to 1, along which a result changes by the sum of
its derivatives by all y_k, the adjoints, times e_k. These are bounded over all that y(t) may be by
reverse accumulation, in which weights keep their signs (Griewank and Walther, Evaluating
Derivatives, 2nd ed., 2008, chapter 3), so that

    |result - polynomial| <= sum over k of |adjoint_k| |e_k|.

Where y(t) may be is known forwards, from the rests carried on by the ops' differentials. An op
without these counts as an input: what it gives has all of its rest for its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_curvature.enclosures import interval
from keras_curvature.enclosures.differentials import (
    UNIT,
    Adjoint,
    Differential,
    Key,
    Sizes,
    added,
    differentials,
    has_differential,
    magnitude,
)
from keras_curvature.enclosures.interval import SMALL, Interval
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.program import Instruction, Program
from keras_curvature.enclosures.taylor_model import TaylorModel
from keras_curvature.enclosures.transposed import Linear
from keras_curvature.typing import Array

MOST = 8
"""As many times the numbers of a jet are carried back at most. One costs about a tenth of what it
takes to carry on the polynomials of a jet of three."""


@dataclass(frozen=True, eq=False)
class _Tensor:
    """What is known of a tensor forwards.

    Attributes:
        polynomials: Taylor models without a rest.
        rests: how far the truth may be from them, flat.
        found: enclosures as an op gave them that has no differentials.
    """

    polynomials: JetBounds
    rests: Sizes
    found: JetBounds | None = None

    def enclosures(self) -> JetBounds:
        """Polynomials with their rests."""
        if self.found is not None:
            return self.found
        return _each(self.polynomials, self.rests, _with_rest)

    def flat_bounds(self) -> JetBounds:
        """Intervals."""
        return _each(self.polynomials, self.rests, _flat_bounds)

    @property
    def is_even(self) -> bool:
        """Whether the value and its derivatives have as many entries."""
        parts = (self.rests.value, self.rests.slope, self.rests.bend)
        return len({part.shape[-1] for part in parts if part is not None}) == 1


Part = Callable[[TaylorModel, Array], Interval]


def _each(jet: JetBounds, sizes: Sizes, function: Part) -> JetBounds:
    """What a function makes of polynomials and rests."""

    def of(x: Interval | None, size: Array | None) -> Interval | None:
        if x is None or size is None:
            return None
        assert isinstance(x, TaylorModel)
        return function(x, size)

    value = of(jet.value, sizes.value)
    assert value is not None
    return JetBounds(value, of(jet.slope, sizes.slope), of(jet.bend, sizes.bend))


def _with_rest(x: TaylorModel, size: Array) -> TaylorModel:
    size = size.reshape(*size.shape[:-1], *x.shape[size.ndim - 1 :])
    return TaylorModel(x.coordinates, x.terms, Interval(-size, size))


def _flat_bounds(x: TaylorModel, size: Array) -> Interval:
    flat = x.polynomial.map(lambda end: end.reshape(*size.shape[:-1], -1))
    return interval.add(flat, Interval(-size, size))


def _divided(found: JetBounds, like: TaylorModel) -> tuple[JetBounds, Sizes]:
    """Polynomials, and how large their rests are, flat."""

    def of(x: Interval, lead: int) -> tuple[TaylorModel, Array]:
        model = like.alike(x)
        size = magnitude(model.rest)
        return model.without_rest(), size.reshape(*size.shape[:lead], -1)

    value, size = of(found.value, 1)
    slope = None if found.slope is None else of(found.slope, 2)
    bend = None if found.bend is None else of(found.bend, 2)
    return (
        JetBounds(value, slope and slope[0], bend and bend[0]),
        Sizes(size, None if slope is None else slope[1], None if bend is None else bend[1]),
    )


@dataclass(frozen=True, eq=False)
class _Record:
    """An op that was run, or an input.

    Attributes:
        writes: its results.
        own: how far these are from their polynomials, if those that it reads are exact.
        reads: what it reads; nothing where it counts as an input.
        by: its differentials.
    """

    writes: Sequence[Hashable]
    own: Sequence[Sizes]
    reads: Sequence[Hashable] = ()
    by: Sequence[Differential] = ()


@dataclass(eq=False)
class _Run:
    """A program over a batch of boxes."""

    program: Program
    pairs: Pairs
    like: TaylorModel
    tensors: dict[Hashable, _Tensor] = field(default_factory=dict)
    records: list[_Record] = field(default_factory=list)

    def forwards(self, given: Sequence[JetBounds]) -> None:
        """All tensors in order; only the results are kept."""
        for name, jet in zip(self.program.sources, given, strict=True):
            self.records.append(_Record([name], [self._written(name, jet)]))
        last = {name: i for i, step in enumerate(self.program.instructions) for name in step.reads}
        kept = {name for name in self.program.results if not isinstance(name, JetBounds)}
        for i, step in enumerate(self.program.instructions):
            self._step(step)
            for name in set(step.reads) - kept:
                if last[name] == i:
                    del self.tensors[name]

    def _step(self, step: Instruction) -> None:
        read = [self.tensors[name] for name in step.reads]
        known = has_differential(step.apply) and all(x.is_even for x in read)
        if not known:
            found = step.apply([x.enclosures() for x in read], self.pairs)
            own = [self._written(*each) for each in zip(step.writes, found, strict=False)]
            self.records.append(_Record(step.writes, own))
            return
        found = step.apply([x.polynomials for x in read], self.pairs)
        bounds = [] if isinstance(step.apply, Linear) else [x.flat_bounds() for x in read]
        by = differentials(step.apply, bounds, self.pairs)
        moved = added(d.forward(x.rests, self.pairs) for d, x in zip(by, read, strict=True))
        own, start = [], 0
        for name, jet in zip(step.writes, found, strict=False):
            polynomials, room = _divided(jet, self.like)
            end = start + room.value.shape[-1]
            rests = added([_cut(moved, start, end, room), room])
            self.tensors[name] = _Tensor(polynomials, rests)
            own.append(room)
            start = end
        self.records.append(_Record(step.writes, own, step.reads, by))

    def _written(self, name: Hashable, jet: JetBounds) -> Sizes:
        """What counts as an input."""
        polynomials, rests = _divided(jet, self.like)
        self.tensors[name] = _Tensor(polynomials, rests, jet)
        return rests

    def rest(self, name: Hashable, entry: int, key: Key, places: Mapping[Key, int]) -> Array:
        """Of one number of a result, `(1 or boxes,)`."""
        size = self.tensors[name].rests.value.shape[-1]
        one = np.zeros((1, size))
        one[0, entry] = 1.0
        adjoints: dict[Hashable, Adjoint] = {name: {key: interval.point(one)}}
        total, terms = np.zeros(1), 0
        for record in reversed(self.records):
            written = [adjoints.pop(x, {}) for x in record.writes]
            if not any(written):
                continue
            parts = []
            for adjoint, own in zip(written, record.own, strict=False):
                kept = {}
                for by, number in adjoint.items():
                    size_ = own.of(by, places)
                    if size_ is not None:  # else it is 0 everywhere
                        kept[by] = number
                        total = total + _dot(number, size_)
                        terms += size_.shape[-1]
                parts.append(kept)
            if not record.by:
                continue
            whole = _side_by_side(parts, [own.value.shape[-1] for own in record.own])
            for read, by_ in zip(record.reads, record.by, strict=True):
                adjoints[read] = _added(adjoints.get(read, {}), by_.back(whole, places))
        return total * (1 + 2 * (terms + 8) * UNIT) + SMALL


def _cut(x: Sizes, start: int, end: int, like: Sizes) -> Sizes:
    """Of some entries, and of the derivatives that are not 0."""
    slope, bend = (
        None if part is None or other is None else part[..., start:end]
        for part, other in ((x.slope, like.slope), (x.bend, like.bend))
    )
    return Sizes(x.value[..., start:end], slope, bend)


def _dot(number: Interval, size: Array) -> Array:
    """The sum of magnitudes times sizes."""
    with np.errstate(invalid="ignore"):
        found: Array = (magnitude(number) * size + SMALL).sum(axis=-1)
    found[np.isnan(found)] = np.inf
    return found


def _side_by_side(parts: Sequence[Adjoint], sizes: Sequence[int]) -> Adjoint:
    """Of all results of an op."""
    if len(parts) == 1:
        return parts[0]
    found: dict[Key, Interval] = {}
    ends = np.cumsum([0, *sizes])
    for key in {key for part in parts for key in part}:
        boxes = max(len(part[key].lower) for part in parts if key in part)
        lower, upper = np.zeros((boxes, ends[-1])), np.zeros((boxes, ends[-1]))
        for part, start, end in zip(parts, ends, ends[1:], strict=False):
            if key in part:
                lower[:, start:end], upper[:, start:end] = part[key].lower, part[key].upper
        found[key] = Interval(lower, upper)
    return found


def _added(a: Adjoint, b: Adjoint) -> Adjoint:
    keys = dict.fromkeys([*a, *b])
    return {
        key: interval.add(a[key], b[key]) if key in a and key in b else (a if key in a else b)[key]
        for key in keys
    }


def run(
    program: Program, given: Sequence[JetBounds], pairs: Pairs, asked: Sequence[Key]
) -> list[JetBounds]:
    """The Taylor models of the outputs.

    Args:
        program: the model.
        given: its inputs, of which the values are Taylor models.
        pairs: of directions, whose second derivatives are carried.
        asked: of which derivatives the rests are to be small.
    """
    like = next(jet.value for jet in given if isinstance(jet.value, TaylorModel))
    ends = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    places: dict[Key, int] = {key: i for i, key in enumerate(ends)}
    count = max((jet.slope.shape[1] for jet in given if jet.slope is not None), default=0)
    one = _Run(program, pairs, like)
    one.forwards(given)
    names = [name for name in program.results if not isinstance(name, JetBounds)]
    entries = sum(one.tensors[name].rests.value.shape[-1] for name in names)
    if entries * len(asked) <= MOST * (1 + count + len(pairs.first)):
        for name in names:
            one.tensors[name] = _narrowed(one, name, asked, places)
    return [y if isinstance(y, JetBounds) else one.tensors[y].enclosures() for y in program.results]


def _narrowed(
    one: _Run, name: Hashable, asked: Sequence[Key], places: Mapping[Key, int]
) -> _Tensor:
    """A result with the smaller rests of both ways."""
    tensor = one.tensors[name]
    if tensor.found is not None:
        return tensor

    def of(x: Interval | None, rests: Array | None, order: int) -> tuple[Interval, Array] | None:
        if x is None or rests is None:
            return None
        keys = [key for key in asked if len(key) == order]
        if not keys:
            return x, rests
        rests = np.broadcast_to(rests, (one.like.shape[0], *rests.shape[1:])).copy()
        for key in keys:
            part = rests if not key else rests[:, key[0] if order == 1 else places[key]]
            for entry in range(rests.shape[-1]):
                np.minimum(part[:, entry], one.rest(name, entry, key, places), out=part[:, entry])
        return _widened(x, len(rests)), rests

    p, sizes = tensor.polynomials, tensor.rests
    value = of(p.value, sizes.value, 0)
    slope, bend = of(p.slope, sizes.slope, 1), of(p.bend, sizes.bend, 2)
    assert value is not None
    return _Tensor(
        JetBounds(value[0], slope and slope[0], bend and bend[0]),
        Sizes(value[1], None if slope is None else slope[1], None if bend is None else bend[1]),
    )


def _widened(x: Interval, boxes: int) -> TaylorModel:
    """Of all boxes."""
    assert isinstance(x, TaylorModel)
    count, _, *shape = x.terms.shape
    terms = np.broadcast_to(x.terms, (count, boxes, *shape))
    nothing = np.zeros((boxes, *shape))
    return TaylorModel(x.coordinates, terms, interval.point(nothing))
