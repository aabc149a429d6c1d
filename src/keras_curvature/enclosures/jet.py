"""Enclosures of a value, of its slopes along directions and of its second derivatives.

A function of a number takes them on by the chain rule, h' = f'(u) u' and
h_ij = f''(u) u_i u_j + f'(u) u_ij, with the range of f' and f'' over the interval that holds u; a
linear map as it takes on numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.enclosures import affine, interval
from keras_curvature.enclosures.affine import Affine
from keras_curvature.enclosures.functions import HasRange
from keras_curvature.enclosures.interval import Interval
from keras_curvature.typing import Array


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which second derivatives are carried: by the directions `first[p]` and `second[p]`."""

    first: Any
    second: Any

    @property
    def on_diagonal(self) -> bool:
        """Whether all are twice along the same direction."""
        return bool(np.array_equal(self.first, self.second))


@dataclass(frozen=True, eq=False)
class JetBounds:
    """What is known of a tensor over a batch of boxes.

    Attributes:
        value: `(boxes, *shape)`.
        slope: `(boxes, directions, *shape)`, or `None` where it is 0 or not asked for.
        bend: second derivatives, `(boxes, pairs, *shape)`, or `None` likewise.
        form: the value as an affine function of the inputs, where these are few.
        slope_form: the slopes likewise.
        bend_form: the second derivatives likewise.
    """

    value: Interval
    slope: Interval | None = None
    bend: Interval | None = None
    form: Affine | None = None
    slope_form: Affine | None = None
    bend_form: Affine | None = None


def through(f: HasRange, u: JetBounds, pairs: Pairs) -> JetBounds:
    """A function of each entry."""
    order = 0 if u.slope is None else 1 + bool(len(pairs.first))
    ranges = f.ranges(u.value, order if u.form is None else 3)
    forms = _forms(f, u, pairs, ranges)
    if u.slope is None:
        return JetBounds(ranges[0], None, None, *forms)
    first = ranges[1][:, None]
    slope = interval.multiply(first, u.slope)
    if order == 1:
        return JetBounds(ranges[0], slope, None, *forms)
    bend = interval.multiply(ranges[2][:, None], products(u.slope, pairs))
    if u.bend is not None:
        bend = interval.add(bend, interval.multiply(first, u.bend))
    return JetBounds(ranges[0], slope, bend, *forms)


Forms = tuple[Affine | None, Affine | None, Affine | None]


def _forms(f: HasRange, u: JetBounds, pairs: Pairs, ranges: list[Interval]) -> Forms:
    """The same of affine forms."""
    if u.form is None:
        return None, None, None
    chords = affine.Chords(f, u.value, ranges)
    value = chords.of(0, u.form)
    if u.slope_form is None:
        return value, None, None
    first = chords.of(1, u.form).for_each_direction()
    slope = first.product(u.slope_form)
    if not len(pairs.first):
        return value, slope, None
    one = u.slope_form.along(pairs.first)
    crossed = one.square() if pairs.on_diagonal else one.product(u.slope_form.along(pairs.second))
    bend = chords.of(2, u.form).for_each_direction().product(crossed)
    if u.bend_form is not None:
        bend = bend.plus(first.product(u.bend_form))
    return value, slope, bend


def products(slope: Interval, pairs: Pairs) -> Interval:
    """u_i u_j for each pair."""
    if pairs.on_diagonal:
        count = slope.shape[1]
        alike = np.array_equal(pairs.first, np.arange(count))
        return interval.square(slope if alike else slope[:, pairs.first])
    found = interval.multiply(slope[:, pairs.first], slope[:, pairs.second])
    same = np.flatnonzero(pairs.first == pairs.second)
    if same.size:
        squares = interval.square(slope[:, pairs.first[same]])
        found.lower[:, same], found.upper[:, same] = squares.lower, squares.upper
    return found


def linear(
    on_value: Callable[[Interval], Interval],
    on_change: Callable[[Interval], Interval],
    jet: JetBounds,
    on_form: Callable[[Affine], Affine] | None = None,
    on_change_form: Callable[[Affine], Affine] | None = None,
) -> JetBounds:
    """What a linear map, with a constant added to it, makes of value and derivatives."""
    slope, bend = (None if x is None else on_change(x) for x in (jet.slope, jet.bend))
    maps = (on_form, on_change_form or on_form, on_change_form or on_form)
    forms = (
        None if form is None or on is None else on(form)
        for form, on in zip((jet.form, jet.slope_form, jet.bend_form), maps, strict=True)
    )
    return JetBounds(on_value(jet.value), slope, bend, *forms)


def moved(function: Callable[[Array, int], Array], jet: JetBounds) -> JetBounds:
    """What only moves numbers, told how many axes stand in front of an example's."""

    def on(lead: int) -> Callable[[Interval], Interval]:
        return lambda x: x.map(lambda bound: function(bound, lead))

    return linear(on(1), on(2), jet, lambda form: form.moved(function))


def sum_of(a: Interval | None, b: Interval | None) -> Interval | None:
    """Of what may be 0."""
    if a is None or b is None:
        return b if a is None else a
    return interval.add(a, b)


def add(a: JetBounds, b: JetBounds) -> JetBounds:
    """Sums."""
    value = interval.add(a.value, b.value)
    shape = value.shape[1:]
    slope, bend = (_whole(sum_of(x, y), shape) for x, y in ((a.slope, b.slope), (a.bend, b.bend)))
    form = None
    known = a.form or b.form
    if known is not None:
        one, other = (x.form or affine.of_interval(x.value, known.radius) for x in (a, b))
        form = one.plus(other)
    return JetBounds(
        value,
        slope,
        bend,
        form,
        _whole_form(_sum_of_forms(a.slope_form, b.slope_form), shape),
        _whole_form(_sum_of_forms(a.bend_form, b.bend_form), shape),
    )


def _stretched(shape: tuple[int, ...]) -> Callable[[Array, int], Array]:
    return lambda x, lead: np.broadcast_to(x, (*x.shape[:lead], *shape)).copy()


def _whole(x: Interval | None, shape: tuple[int, ...]) -> Interval | None:
    """Derivatives of a sum whose other term has none, but is larger."""
    if x is None or x.shape[2:] == shape:
        return x
    return x.map(lambda bound: _stretched(shape)(bound, 2))


def _whole_form(x: Affine | None, shape: tuple[int, ...]) -> Affine | None:
    return x if x is None or x.center.shape[2:] == shape else x.moved(_stretched(shape))


def _sum_of_forms(a: Affine | None, b: Affine | None) -> Affine | None:
    """Of what may be 0."""
    return (a or b) if a is None or b is None else a.plus(b)


def negative(a: JetBounds) -> JetBounds:
    """What is opposite."""
    return linear(interval.negative, interval.negative, a, Affine.negative)


def scaled(a: JetBounds, factor: Interval) -> JetBounds:
    """Times a factor that does not depend on the point; its shape stands behind all other axes."""

    def times(x: Interval) -> Interval:
        return interval.multiply(factor, x)

    known = factor.lower is factor.upper
    return linear(times, times, a, (lambda form: form.times(factor.lower)) if known else None)


def product(a: JetBounds, b: JetBounds, pairs: Pairs) -> JetBounds:
    """(ab)_ij = a_ij b + a_i b_j + a_j b_i + a b_ij."""
    value = interval.multiply(a.value, b.value)
    over_a, over_b = a.value[:, None], b.value[:, None]

    def times(x: Interval | None, y: Interval | None) -> Interval | None:
        return None if x is None or y is None else interval.multiply(x, y)

    slope = sum_of(times(a.slope, over_b), times(over_a, b.slope))
    bend = sum_of(times(a.bend, over_b), times(over_a, b.bend))
    if a.slope is not None and b.slope is not None and len(pairs.first):
        i, j = pairs.first, pairs.second
        mixed = interval.multiply(a.slope[:, i], b.slope[:, j])
        other = mixed if pairs.on_diagonal else interval.multiply(a.slope[:, j], b.slope[:, i])
        bend = sum_of(bend, interval.add(mixed, other))
    return JetBounds(value, slope, bend)
