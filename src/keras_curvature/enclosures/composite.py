"""A function of one number that is made of several: its range over an interval.

Carried through the functions that it is made of, an interval gets wider than it need be, the more
so the wider it is. So the function is looked at beforehand on many short cells, and an interval
gets what is true of all cells that it meets, where that is less. The cells' bounds are found by the
same rules, so that they are as sound as these.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from keras_curvature.enclosures import interval, jet
from keras_curvature.enclosures.binary import BINARY
from keras_curvature.enclosures.exact_slopes import exact
from keras_curvature.enclosures.interval import SMALL, Interval, both, point, subtract, whole
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.pieces import Line, Piece, apart, line_of
from keras_curvature.enclosures.scalar_trees import Tree, known
from keras_curvature.enclosures.selection import compared, selected
from keras_curvature.typing import Array

ALONE = Pairs(np.array([0]), np.array([0]))

REACH = 16.0
"""Cells go from minus this number to it: beyond it activations are flat or straight."""

FAR = 2.0**800
"""No kinks are looked for further out, and none nearer to 0 than its inverse other than at 0."""

SLACK = 2.0**-50
"""Share of a place by which its rounded number may be off, and more."""

LEVELS = 13
"""There are 2 to the power of this many cells."""

WITHIN = 16
"""Parts of a cell, of which each is enclosed."""


def evaluated(tree: Any, x: JetBounds, pairs: Pairs, ndim: int) -> JetBounds:
    """A formula at enclosures."""
    seen: dict[int, JetBounds] = {}

    def of(node: Any) -> JetBounds:
        if isinstance(node, str):
            return x
        if isinstance(node, float):
            return JetBounds(point(np.full((1,) * ndim, node)))
        if id(node) not in seen:
            seen[id(node)] = apply(node, *map(of, node.arguments))
        return seen[id(node)]

    def apply(node: Tree, *given: JetBounds) -> JetBounds:
        if node.function is not None:
            return jet.through(node.function, given[0], pairs)
        if node.name == "select":
            return selected(given[0].value, *given[1:])
        if node.name in BINARY:
            return BINARY[node.name](given[0], given[1], pairs)
        return JetBounds(compared(node.name, given[0].value, given[1].value))

    return of(tree)


Signs = tuple[int, ...]


def _signs(lower: Any, upper: Any) -> Signs:
    """Those of what is between two numbers; both, if either is none."""
    return (*(() if lower >= 0 else (-1,)), *(() if upper <= 0 else (1,)))


def _chooses(tree: Any) -> bool:
    """Whether a formula may jump, as none does that only has functions and larger numbers in it."""
    if not isinstance(tree, Tree):
        return False
    return tree.name in ("select", *COMPARED) or any(map(_chooses, tree.arguments))


COMPARED = ("eq", "ge", "gt", "le", "lt", "ne")


@dataclass(frozen=True, eq=False)
class Kink:
    """Where two pieces meet.

    Attributes:
        at: the place.
        jumps: the signs that the jump of f, and that of f', may have; none where there is none.
    """

    at: float
    jumps: tuple[Signs, Signs]


@dataclass(frozen=True, eq=False)
class Composite:
    """A formula of one number.

    Pieces are taken to meet, in value or in slope, where fractions say so. Where only rounded
    numbers are to be had, a jump that may be 0 counts as one both upwards and downwards.
    """

    tree: Tree

    def ranges(self, x: Interval, highest: int) -> list[Interval]:
        """The ranges of f, f', … up to an order over intervals."""
        ends = zip((x.lower, x.upper), (-np.inf, np.inf), strict=True)
        flat = Interval(*(np.where(np.isnan(end), far, end).ravel() for end, far in ends))
        found = self._direct(flat)
        step = 2 * REACH / 2**LEVELS
        inside = (flat.lower > -REACH) & (flat.upper < REACH)
        with np.errstate(invalid="ignore"):
            first = np.clip((flat.lower + REACH) / step, 0, 2**LEVELS - 1).astype(int)
            last = np.clip((flat.upper + REACH) / step, 0, 2**LEVELS - 1).astype(int)
        level = np.frexp(last - first + 1)[1] - 1
        other = last - (1 << level) + 1
        narrowed = []
        for order in range(min(highest, 2) + 1):
            lower, upper = self._cells[order]
            over = Interval(
                np.minimum(lower[level, first], lower[level, other]),
                np.maximum(upper[level, first], upper[level, other]),
            )
            over.lower[~inside], over.upper[~inside] = -np.inf, np.inf
            narrowed.append(both(found[order], over).map(lambda b: b.reshape(x.shape)))
        return narrowed if highest < 3 else [*narrowed, whole(x.shape)]

    @functools.cached_property
    def _pieces(self) -> list[tuple[float, float, Any]]:
        return [(float(low), float(high), tree) for low, high, tree in self._exact_pieces]

    @functools.cached_property
    def _exact_pieces(self) -> list[Piece]:
        found = apart(self.tree)
        places = [abs(at) for at, _, _ in found[1:] if isinstance(at, Fraction)]
        if any(at > FAR or 0 < at < 1 / FAR for at in places):
            raise NotImplementedError("has a kink too far out, or too near to 0")
        return found

    @functools.cached_property
    def _kinks(self) -> list[Kink]:
        found = []
        for (_, at, left), (_, _, right) in itertools.pairwise(self._exact_pieces):
            assert isinstance(at, Fraction)
            place = float(at)
            near = Interval(*(np.array([place + s * SLACK * abs(place)]) for s in (-1, 1)))
            jumps = []
            for b, a in zip(_carried(right, near), _carried(left, near), strict=True):
                jump = subtract(b, a)
                jumps.append(_signs(jump.lower[0], jump.upper[0]))
            one, other = exact(left, at), exact(right, at)
            if one is not None and other is not None:
                if one[0] is not None and other[0] is not None:
                    jumps[0] = _signs(other[0] - one[0], other[0] - one[0])
                jumps[1] = _signs(other[1] - one[1], other[1] - one[1])
            if not _chooses(self.tree):
                jumps[0] = ()
            found.append(Kink(place, (jumps[0], jumps[1])))
        return found

    def _direct(self, flat: Interval) -> list[Interval]:
        """By pieces."""
        if len(self._pieces) == 1:
            return _carried(self._pieces[0][2], flat)
        size = flat.shape[0]
        found = [Interval(np.full(size, np.inf), np.full(size, -np.inf)) for _ in range(3)]
        for low, high, tree in self._pieces:
            # Where pieces meet is rounded, so that each goes a bit further.
            low -= SLACK * abs(low) if np.isfinite(low) else 0.0
            high += SLACK * abs(high) if np.isfinite(high) else 0.0
            where = np.flatnonzero((flat.lower <= high) & (flat.upper >= low))
            if not where.size:
                continue
            part = Interval(
                np.clip(flat.lower[where], low, high), np.clip(flat.upper[where], low, high)
            )
            for range_, got in zip(found, _carried(tree, part), strict=True):
                range_.lower[where] = np.minimum(range_.lower[where], got.lower)
                range_.upper[where] = np.maximum(range_.upper[where], got.upper)
        for kink in self._kinks:
            slack = SLACK * abs(kink.at)
            inside = (flat.lower <= kink.at + slack) & (flat.upper >= kink.at - slack)
            for order, signs in enumerate(kink.jumps, 1):
                for sign in signs:
                    end = found[order].upper if sign > 0 else found[order].lower
                    end[inside] = np.copysign(np.inf, sign)
            if kink.jumps[0]:
                found[2].lower[inside], found[2].upper[inside] = -np.inf, np.inf
        return found

    @functools.cached_property
    def _cells(self) -> list[tuple[Array, Array]]:
        """Of f, f' and f'' the least lower and the largest upper bound of 2^k cells from each."""
        ends = np.linspace(-REACH, REACH, WITHIN * 2**LEVELS + 1)
        found = []
        for part in self._direct(Interval(ends[:-1], ends[1:])):
            lower = part.lower.reshape(-1, WITHIN).min(axis=1)
            upper = part.upper.reshape(-1, WITHIN).max(axis=1)
            lows, highs = [lower], [upper]
            for k in range(LEVELS):
                far = np.minimum(np.arange(2**LEVELS) + 2**k, 2**LEVELS - 1)
                lows.append(np.minimum(lows[-1], lows[-1][far]))
                highs.append(np.maximum(highs[-1], highs[-1][far]))
            found.append((np.stack(lows), np.stack(highs)))
        return found


def composite(tree: Tree) -> Composite:
    """A formula, looked at once.

    Raises:
        NotImplementedError: where it has a kink of which too little is known.
    """
    found = Composite(tree)
    assert found._kinks is not None
    assert found._cells
    return found


def _carried(tree: Any, flat: Interval) -> list[Interval]:
    """The ranges of a formula and of its derivatives, carried through it."""
    row = known(tree)
    if row is not None:
        return row.ranges(flat, 2)
    line = line_of(tree)
    if line is not None:
        return _straight(line, flat)
    one = point(np.ones((1, 1, 1)))
    given = JetBounds(flat.map(lambda b: b[:, None]), one)
    with np.errstate(all="ignore"):
        found = evaluated(tree, given, ALONE, 2)
    zero = point(np.zeros((1, 1, 1)))
    parts = (found.value, found.slope or zero, found.bend or zero)
    size = flat.shape[0]
    return [
        part.map(lambda b: np.broadcast_to(b.reshape(len(b)), (size,)).copy()) for part in parts
    ]


def _straight(line: Line, flat: Interval) -> list[Interval]:
    """The ranges of a straight line, whose two numbers are rounded."""

    def about(number: Fraction) -> Interval:
        if abs(number) >= FAR:
            ends = (FAR, np.inf) if number > 0 else (-np.inf, -FAR)
            return Interval(*(np.full(flat.shape, end) for end in ends))
        near = float(number)
        room = 0.0 if near == number else abs(near) * 2.0**-50 + SMALL
        return Interval(np.full(flat.shape, near - room), np.full(flat.shape, near + room))

    offset, slope = map(about, line)
    value = interval.add(interval.multiply(slope, flat), offset)
    return [value, slope, point(np.zeros(flat.shape))]
