"""Bounds that follow a plane: affine in the place in a box, and with it where a sign changes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.enclosures.interval import UNIT
from keras_curvature.enclosures.taylor_model import TaylorModel
from keras_curvature.typing import Array

LEAST = 0.02
"""Slope, as a share of the largest, up to which smaller ones count as so much: the volume's formula
divides by them."""


@dataclass(frozen=True)
class Planes:
    """Between what a number is over boxes, at `t` of [-1, 1] along each input.

    It is at least `slopes @ t + lower`, and at most `slopes @ t + upper`.

    Attributes:
        slopes: `(n, d)`.
        lower: `(n,)`.
        upper: `(n,)`.
    """

    slopes: Array
    lower: Array
    upper: Array

    def of(self, rows: NDArray[np.bool_]) -> Planes:
        """Those of some boxes."""
        return Planes(self.slopes[rows], self.lower[rows], self.upper[rows])

    def opposite(self) -> Planes:
        """Of the number with the other sign."""
        return Planes(-self.slopes, -self.upper, -self.lower)


def joined(parts: list[Planes]) -> Planes:
    """All of them."""
    return Planes(
        np.concatenate([one.slopes for one in parts]),
        np.concatenate([one.lower for one in parts]),
        np.concatenate([one.upper for one in parts]),
    )


def planes_of(x: TaylorModel, low: Array, high: Array) -> Planes:
    """Of numbers, one a box: what is of degree 2, and the rest, is between two numbers.

    Args:
        x: of shape `(n, ...)` with `n` numbers.
        low: lower corners of the boxes, `(n, d)`.
        high: upper ones.
    """
    n, d = low.shape
    at = x.coordinates
    active = np.flatnonzero((low < high).any(axis=0))
    terms = x.terms.reshape(at.terms, n)
    slopes = np.zeros((n, d))
    slopes[:, active] = terms[at.linear].T
    curved = terms.copy()
    curved[at.linear] = 0
    beside = TaylorModel(at, curved, x.rest.map(lambda end: np.asarray(end).reshape(n)))
    room = UNIT * (d + 4) * x.size.reshape(n)  # of a sum of the terms, however it is taken
    return Planes(slopes, beside.lower - room, beside.upper + room)


def share_above(slopes: Array, constant: Array) -> Array:
    """Which share of each box lies where `slopes @ t + constant` is 0 or more, at least.

    The distribution of a sum of uniform variables, by inclusion and exclusion of the corners.
    Slopes that are small beside the largest are made larger, and the constant smaller by as much:
    that leaves a smaller part of the box.

    Args:
        slopes: `(n, d)`.
        constant: `(n,)`.

    Source:
        Bradley, Gupta, On the distribution of the sum of n non-identically distributed uniform
        random variables, 2002.
    """
    sizes = np.abs(slopes)
    sizes = sizes[:, (sizes != 0).any(axis=0)]
    d = sizes.shape[1]
    largest = sizes.max(axis=1, initial=0.0)
    with np.errstate(all="ignore"):
        sizes = sizes / largest[:, None]
        wide = np.maximum(sizes, LEAST)
        level = constant / largest - (wide - sizes).sum(axis=1)
        total = wide.sum(axis=1)
        corners = np.zeros(len(sizes))
        for signs in itertools.product((-1.0, 1.0), repeat=d):
            corners += math.prod(signs) * np.maximum(level + wide @ np.array(signs), 0) ** d
        scale = math.factorial(d) * 2.0**d * wide.prod(axis=1)
        # Of the corners' sum; of the level, on which the share depends by at most a half; and of
        # the box, which `t` goes a little beyond.
        off = (d + 8) * UNIT * ((4 * total) ** d / scale + 8)
        share = np.where(level > total, 1.0, corners / scale) - off
    known = np.isfinite(share) & (level > -total)
    return np.where(largest == 0, constant > 0, np.where(known, np.clip(share, 0, 1), 0.0))
