"""Which derivatives have to be carried for what is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.enclosures import interval
from keras_curvature.enclosures.interval import Interval
from keras_curvature.enclosures.jet import Pairs
from keras_curvature.engines.quantities import (
    DIAGONAL,
    DIRECTIONAL,
    HESSIAN,
    JACOBIAN,
    LAPLACIAN,
    VALUE,
    partials_among,
)
from keras_curvature.typing import Array

Bounds = tuple[Array, Array]
"""Lower and upper."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Along which inputs, and by which pairs of them, derivatives are carried.

    Attributes:
        names: what is asked for.
        directions: the inputs whose axes are directions.
        along_v: whether the last direction is the user's.
        pairs: of directions.
    """

    names: Sequence[str]
    directions: list[int]
    along_v: bool
    pairs: Pairs

    @property
    def count(self) -> int:
        """Of directions."""
        return len(self.directions) + self.along_v

    def asked(self, d: int) -> list[tuple[int, ...]]:
        """By which directions what is asked for is differentiated: none, one, or a pair."""
        place = {i: k for k, i in enumerate(self.directions)}
        alone = [by[0] for by in partials_among(self.names).values() if len(by) == 1]
        slopes = range(d) if JACOBIAN in self.names else alone
        pairs = zip(self.pairs.first.tolist(), self.pairs.second.tolist(), strict=True)
        values: list[tuple[int, ...]] = [()] if VALUE in self.names else []
        return [*values, *((place[i],) for i in slopes), *pairs]

    def collected(self, found: tuple[Interval, Interval, Interval], d: int) -> dict[str, Bounds]:
        """The bounds by name."""
        value, slope, bend = found
        place = {i: k for k, i in enumerate(self.directions)}
        ends = zip(self.pairs.first.tolist(), self.pairs.second.tolist(), strict=True)
        pair = {by: k for k, by in enumerate(ends)}

        def place_of(i: int, j: int) -> int:
            one, other = sorted((place[i], place[j]))
            return pair[one, other]

        def of(name: str) -> Interval:
            if name == VALUE:
                return value
            if name == JACOBIAN:
                return _inputs_last(slope[:, [place[i] for i in range(d)]])
            if name == DIRECTIONAL:
                last = self.count - 1
                return bend[:, pair[last, last]]
            if name == DIAGONAL:
                return _inputs_last(bend[:, [pair[place[i], place[i]] for i in range(d)]])
            if name == HESSIAN:
                both = [[place_of(i, j) for j in range(d)] for i in range(d)]
                return bend[:, both].map(lambda x: np.moveaxis(x, -1, 1))
            if name == LAPLACIAN:
                total = bend[:, pair[place[0], place[0]]]
                for i in range(1, d):
                    total = interval.add(total, bend[:, pair[place[i], place[i]]])
                return total
            partial = partials_among([name])[name]
            if len(partial) == 1:
                return slope[:, place[partial[0]]]
            return bend[:, place_of(*partial)]

        return {name: (of(name).lower, of(name).upper) for name in self.names}


def _inputs_last(x: Interval) -> Interval:
    return x.map(lambda bound: np.moveaxis(bound, 1, -1))


def planned(names: Sequence[str], d: int) -> Plan:
    """What some quantities of a function of `d` inputs take."""
    everywhere = list(itertools.combinations_with_replacement(range(d), 2))
    twice = [(i, i) for i in range(d)]
    wanted: dict[tuple[int, ...], None] = {}
    for name in names:
        if name in (DIAGONAL, LAPLACIAN):
            wanted |= dict.fromkeys(twice)
        elif name == HESSIAN:
            wanted |= dict.fromkeys(everywhere)
        elif name == JACOBIAN:
            wanted |= dict.fromkeys((i,) for i in range(d))
        else:
            wanted |= dict.fromkeys(partials_among([name]).values())
    directions = sorted({i for by in wanted for i in by})
    place = {i: k for k, i in enumerate(directions)}
    pairs = [(place[by[0]], place[by[1]]) for by in wanted if len(by) == 2]
    along_v = DIRECTIONAL in names
    if along_v:
        pairs.append((len(directions), len(directions)))
    ends = np.array(pairs, dtype=int).reshape(-1, 2)
    return Plan(names, directions, along_v, Pairs(ends[:, 0], ends[:, 1]))
