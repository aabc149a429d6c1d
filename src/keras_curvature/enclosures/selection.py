"""Maxima, conditions and what they choose.

A maximum is the limit of the logarithm of a sum of exponentials, log(sum exp(t a)) / t, whose
slopes are averages of those of `a` with weights w, and whose second derivatives are such averages
too and, besides, t times the variance of the slopes, which is 0 or more. So along a line a maximum
is bent upwards without a bound where it may change from one to another, and lies between its
candidates elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures import interval, jet
from keras_curvature.enclosures.interval import Interval, point
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.use import Apply, Rule, Use
from keras_curvature.typing import Array


def larger(a: JetBounds, b: JetBounds, pairs: Pairs) -> JetBounds:
    """The larger one of two."""
    a_only = a.value.lower > b.value.upper
    b_only = b.value.lower > a.value.upper
    value = Interval(
        np.maximum(a.value.lower, b.value.lower), np.maximum(a.value.upper, b.value.upper)
    )
    if a.slope is None and b.slope is None:
        return JetBounds(value)
    one, other = (_zeros(a) if x is None else x for x in (a.slope, b.slope))
    slope = _chosen(a_only, b_only, one, other)
    if not len(pairs.first):
        return JetBounds(value, slope)
    zero = point(np.zeros((1, len(pairs.first), *(1,) * (a_only.ndim - 1))))
    bend = _chosen(a_only, b_only, *(zero if x is None else x for x in (a.bend, b.bend)))
    gap = interval.subtract(one, other)
    rises = jet.products(gap, pairs)
    open_ = ~(a_only | b_only)[:, None]
    lower, upper = (
        np.broadcast_to(x, np.broadcast_shapes(x.shape, rises.shape)).copy()
        for x in (bend.lower, bend.upper)
    )
    upper[np.broadcast_to(open_ & (rises.upper > 0), upper.shape)] = np.inf
    lower[np.broadcast_to(open_ & (rises.lower < 0), lower.shape)] = -np.inf
    return JetBounds(value, slope, Interval(lower, upper))


def _zeros(like: JetBounds) -> Interval:
    return point(np.zeros((1, 1, *(1,) * (len(like.value.shape) - 1))))


def _chosen(
    first: NDArray[np.bool_], second: NDArray[np.bool_], a: Interval, b: Interval
) -> Interval:
    """The first where that is known, the second where that is, or else both."""
    first, second = first[:, None], second[:, None]
    lower = np.where(first, a.lower, np.where(second, b.lower, np.minimum(a.lower, b.lower)))
    upper = np.where(first, a.upper, np.where(second, b.upper, np.maximum(a.upper, b.upper)))
    return Interval(lower, upper)


def largest_of_groups(sign: int) -> Rule:
    """Largest or smallest numbers of rows, windows, or whatever an op looks at."""

    def rule(use: Use) -> Apply:
        if (
            len(use.step.outputs) > 1
            and len(use.shape)
            and use.shape != tuple(use.step.outputs[1].shape)
        ):
            raise NotImplementedError("has other results besides")
        size = int(np.prod(use.step.inputs[use.active[0]].shape))
        count = int(np.prod(use.shape))
        if size * count > 2**22:
            raise NotImplementedError(f"looks at {size} numbers for each of {count}")
        base = use.run(np.zeros(size))[:count]
        one = np.eye(size) * sign
        member = np.stack([use.run(row)[:count] != base for row in one])  # (size, count)
        most = int(member.sum(axis=0).max())
        places = np.argsort(~member, axis=0, kind="stable")[:most].T  # (count, most)
        missing = ~np.take_along_axis(member.T, places, axis=1)
        places = np.where(missing, places[:, :1], places)

        def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
            flat = jet.moved(lambda x, lead: x.reshape(*x.shape[:lead], -1), jets[0])
            given = flat if sign > 0 else jet.negative(flat)
            found = None
            for column in places.T:
                taken = jet.moved(lambda x, lead, c=column: x[..., c], given)  # type: ignore[misc]
                found = taken if found is None else larger(found, taken, pairs)
            assert found is not None
            found = found if sign > 0 else jet.negative(found)
            return [jet.moved(lambda x, lead: x.reshape(*x.shape[:lead], *use.shape), found)]

        return apply

    return rule


def compared(name: str, a: Interval, b: Interval) -> Interval:
    """Whether a is greater than b, or the like: 1, 0, or anything between."""
    if name in ("lt", "le"):
        return compared({"lt": "gt", "le": "ge"}[name], b, a)
    if name == "gt":
        sure, never = a.lower > b.upper, a.upper <= b.lower
    elif name == "ge":
        sure, never = a.lower >= b.upper, a.upper < b.lower
    else:
        apart = (a.lower > b.upper) | (b.lower > a.upper)
        alike = (a.lower == a.upper) & (b.lower == b.upper) & (a.lower == b.lower)
        sure, never = (alike, apart) if name == "eq" else (apart, alike)
    return Interval(sure.astype(float), 1.0 - never.astype(float))


def selected(condition: Interval, a: JetBounds, b: JetBounds) -> JetBounds:
    """`a` where the condition holds and `b` elsewhere; nothing is known of a jump between them."""
    yes, no = condition.lower > 0.5, condition.upper < 0.5
    open_ = ~(yes | no)

    def choose(x: Interval | None, y: Interval | None, lead: int) -> Interval | None:
        if x is None and y is None and not open_.any():
            return None
        zero = point(np.zeros((1,) * (len(condition.shape) + lead)))
        x, y = x or zero, y or zero
        sure, never = ((m[:, None] if lead else m) for m in (yes, no))
        ends: list[Array] = []
        for u, v, far in ((x.lower, y.lower, -np.inf), (x.upper, y.upper, np.inf)):
            hull = np.minimum(u, v) if far < 0 else np.maximum(u, v)
            between: Any = np.full_like(hull, far) if lead else hull
            ends.append(np.where(sure, u, np.where(never, v, between)))
        return Interval(*ends)

    value = choose(a.value, b.value, 0)
    assert value is not None
    return JetBounds(value, choose(a.slope, b.slope, 1), choose(a.bend, b.bend, 1))
