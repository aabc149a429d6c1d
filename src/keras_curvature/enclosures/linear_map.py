"""Linear maps: numbers moved about, and matrices.

A dot product of n terms that is computed in any order is off by at most n u / (1 - n u) times the
sum of its terms' magnitudes, u = 2^-53 (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
ed., 2002, section 3.1).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.enclosures.affine import Affine
from keras_curvature.enclosures.interval import SMALL, Interval, point
from keras_curvature.typing import Array

UNIT = 2.0**-53


@dataclass(frozen=True, eq=False)
class Matrix:
    """`x @ weights` on the last axis.

    Attributes:
        positive: the positive part of the weights, `(inputs, outputs)`.
        negative: the negative part.
        norms: the sum of the magnitudes in each column, rounded upwards.
        never_negative: the columns without a negative weight.
        never_positive: those without a positive one.
    """

    positive: Array
    negative: Array
    norms: Array
    never_negative: Any
    never_positive: Any

    @functools.cached_property
    def _weights(self) -> Array:
        return self.positive + self.negative

    def __call__(self, x: Interval) -> Interval:
        """Bounds of the products: each weight takes the end that its sign says."""
        if x.has_terms:
            return x.linear_map(self)
        if x.lower is x.upper and np.isfinite(x.lower).all():
            weights = self.positive + self.negative
            found = x.lower @ weights
            room = self._room(np.abs(x.lower).max(axis=-1, initial=0.0))
            return _known(found - room, found + room)
        infinite = None
        if not (np.isfinite(x.lower).all() and np.isfinite(x.upper).all()):
            infinite = self._infinite(x)
            x = x.map(lambda bound: np.where(np.isfinite(bound), bound, 0.0))
        lower = x.lower @ self.positive
        lower += x.upper @ self.negative
        upper = x.upper @ self.positive
        upper += x.lower @ self.negative
        largest = np.maximum(np.abs(x.lower), np.abs(x.upper)).max(axis=-1, initial=0.0)
        room = self._room(largest)
        below, above = lower - room, upper + room
        self._keep_signs(x, lower, upper, below, above)
        if infinite is not None:
            below[infinite[0]], above[infinite[1]] = -np.inf, np.inf
        return _known(below, above)

    def of_terms(self, terms: Array) -> tuple[Array, Array]:
        """Of numbers `(terms, *shape)`, and by how much all of them together may be off."""
        largest = np.abs(terms).max(axis=-1, initial=0.0).sum(axis=0)
        return terms @ self._weights, 2 * self._room(largest)

    def form(self, x: Affine) -> Affine:
        """The same of affine forms."""
        weights = self.positive + self.negative
        return x.through_matrix(weights, np.abs(weights), self.norms)

    def _room(self, largest: Array) -> Array:
        n = len(self.positive) + 8  # with a few units for weights that were computed
        most = largest[..., None] * self.norms
        room = (n * UNIT / (1 - n * UNIT) * (1 + 8 * UNIT)) * most
        touched = (largest[..., None] > 0) & (self.norms > 0)
        return np.where((room < SMALL) & touched, SMALL, room)  # of what underflows

    def _keep_signs(
        self, x: Interval, lower: Array, upper: Array, below: Array, above: Array
    ) -> None:
        """A sum of terms of one sign has it too, and is off by a share of itself only."""
        share = 2 * (len(self.positive) + 2) * UNIT
        for rows, columns, factor in (
            (x.lower.min(axis=-1, initial=0.0) >= 0, self.never_negative, 1 - share),
            (x.upper.max(axis=-1, initial=0.0) <= 0, self.never_positive, 1 - share),
        ):
            where = rows[..., None] & columns
            if where.any():
                np.maximum(
                    below, np.where(lower < SMALL, 0.0, lower * factor), out=below, where=where
                )
        for rows, columns, factor in (
            (x.upper.max(axis=-1, initial=0.0) <= 0, self.never_negative, 1 - share),
            (x.lower.min(axis=-1, initial=0.0) >= 0, self.never_positive, 1 - share),
        ):
            where = rows[..., None] & columns
            if where.any():
                np.minimum(
                    above, np.where(upper > -SMALL, 0.0, upper * factor), out=above, where=where
                )

    def _infinite(self, x: Interval) -> tuple[Array, Array]:
        """Where the lower bound and the upper one are infinite."""
        up, down = (self.positive > 0).astype(float), (self.negative < 0).astype(float)
        low, high = np.isneginf(x.lower).astype(float), np.isposinf(x.upper).astype(float)
        return low @ up + high @ down > 0, high @ up + low @ down > 0


def _known(below: Array, above: Array) -> Interval:
    """Bounds, which are infinite where they overflowed on the way."""
    for bound, far in ((below, -np.inf), (above, np.inf)):
        bad = ~np.isfinite(bound)
        if bad.any():
            bound[bad] = far
    return Interval(below, above)


def matrix(weights: Array) -> Matrix:
    """A matrix `(inputs, outputs)`."""
    return Matrix(
        np.maximum(weights, 0),
        np.minimum(weights, 0),
        np.abs(weights).sum(axis=0) * (1 + 2 * len(weights) * UNIT),
        np.all(weights >= 0, axis=0),
        np.all(weights <= 0, axis=0),
    )


@dataclass(frozen=True, eq=False)
class Moved:
    """Numbers in other places: entry j is entry `source[j]`, or a constant where that is -1."""

    source: Any
    constants: Array

    @functools.cached_property
    def _stays(self) -> bool:
        return bool(np.array_equal(self.source, np.arange(len(self.source))))

    def __call__(self, x: Interval) -> Interval:
        """On the last axis, the constants as 0: of derivatives."""
        return x.map(self._move)

    def value(self, x: Interval) -> Interval:
        """With the constants."""
        if x.has_terms:
            held = np.where(self.source < 0, self.constants, 0.0)
            return x.map(self._move).plus(point(held))
        found = self(x)
        held = self.source < 0
        if held.any():
            found.lower[..., held] = found.upper[..., held] = self.constants[held]
        return found

    def form(self, x: Affine) -> Affine:
        """Of affine forms, with the constants."""
        found = self.change_form(x)
        held = self.source < 0
        if held.any():
            found.center[..., held] = self.constants[held]
        return found

    def change_form(self, x: Affine) -> Affine:
        """The same without the constants."""
        return x.moved(lambda numbers, lead: self._move(numbers))

    def _move(self, x: Array) -> Array:
        if self._stays and x.shape[-1] == len(self.source):
            return x
        found = x[..., np.maximum(self.source, 0)]
        found[..., self.source < 0] = 0.0
        return found
