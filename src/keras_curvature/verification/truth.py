"""What the derivatives of a model's values are: differences along lines through its examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.diagnosis.subject import Subject, noise
from keras_curvature.engines import quantities
from keras_curvature.engines.api import xp
from keras_curvature.typing import Array, Tensor
from keras_curvature.verification.line_derivatives import PLACES, Estimate, first, second

ALL_AXES, SOME_AXES = 64, 8
"""Up to so many inputs a line is laid along each, beyond them along a few at random."""

NUMBERS_AT_ONCE = 2**24
"""Numbers in the points that are evaluated together: 128 MB."""

FLOOR = 0.01
"""Share of the steepest slope below which a slope or a curvature counts as none.

Over the length of the direction, one standard deviation, a curvature so small hardly changes the
slope.
"""

JUDGEABLE = 1e-3
"""Doubt, relative to the scale, up to which a difference may judge."""

SEEN = 0.01
"""Doubt, relative to itself, up to which a number is known to two digits."""

LEVEL = 1e-6
"""Share of the value below which a slope counts as none."""


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines through each example.

    Attributes:
        u: a random direction for each example, one standard deviation long, `(n, d)`.
        v: another one.
        axes: the inputs along which there is a line, in order.
    """

    u: Array
    v: Array
    axes: NDArray[np.integer]

    def directions(self, spread: Array) -> Array:
        """All of them, `(n, lines, d)`: `v`, `u + v`, `u − v`, and along the axes."""
        n, d = self.v.shape
        axes = np.broadcast_to((np.eye(d) * spread)[self.axes], (n, len(self.axes), d))
        mixed = np.stack([self.v, self.u + self.v, self.u - self.v], axis=1)
        return np.concatenate([mixed, axes], axis=1)


@dataclass(frozen=True, eq=False)
class Truth:
    """What one quantity is, at every place where it is looked at.

    Attributes:
        estimate: from differences; arrays `(n, k)`, or `(n, k, axes)` for the diagonal.
        scale: what is allowed, and what differences can tell, is relative to, for each of the `k`
            outputs: the quantity's size, that of the terms of a sum, or `FLOOR` of the slope,
            whichever is largest.
    """

    estimate: Estimate
    scale: Array

    @property
    def can_tell(self) -> NDArray[np.bool_]:
        """At which places differences may judge."""
        scale = self.scale.reshape(-1, *[1] * (self.estimate.doubt.ndim - 2))
        return relative(self.estimate.doubt, scale) <= JUDGEABLE

    @property
    def size(self) -> Array:
        """What errors are relative to: the largest of what is judged and known to two digits.

        Of outputs of which that is nothing, as where the quantity is 0, the scale.
        """
        sizes = np.abs(self.estimate.value)
        seen = self.can_tell & (sizes > 0) & (self.estimate.doubt <= SEEN * sizes)
        largest = _over_places(np.where(seen, sizes, 0.0))
        return np.where(largest > 0, largest, self.scale)


def lines_through(s: Subject, seed: int) -> Lines:
    """Random directions and axes."""
    rng = np.random.default_rng(seed + 2)
    d = len(s.spread)
    u = rng.normal(size=s.v.shape)
    axes = np.arange(d) if d <= ALL_AXES else np.sort(rng.permutation(d)[:SOME_AXES])
    return Lines(s.spread * u / np.linalg.norm(u, axis=1, keepdims=True), s.v, axes)


@dataclass(frozen=True, eq=False)
class Along:
    """What differences say along lines, arrays `(n, lines, k)`.

    Attributes:
        slope: the first derivative.
        curvature: the second.
        largest: value at the examples, of each of the `k` outputs.
        rounding: in one value of each.
    """

    slope: Estimate
    curvature: Estimate
    largest: Array
    rounding: Array

    def sizes(self, lines: slice) -> tuple[Array, Array]:
        """The largest slope along some lines, and the curvature that counts as none beside it."""
        steepest = _largest(self.slope.value[:, lines], axis=(0, 1))
        steepest = np.maximum(steepest, LEVEL * self.largest)
        return steepest, FLOOR * steepest


def along(s: Subject, directions: Array) -> Along:
    """First and second differences along lines through the examples, `(n, lines, d)`."""
    return along_lines(_values(s, directions), noise(s, len(directions)))


def along_lines(values: Array, noise: Array) -> Along:
    """First and second differences of values at `PLACES` of lines, `(n, lines, places, k)`.

    Args:
        values: the function's.
        noise: in one value of each of the `k` outputs.
    """
    n, count, _, k = values.shape
    here = np.abs(values[:, 0, 0])
    largest = np.where(np.isfinite(here), here, 0.0).max(axis=0)
    rounding = np.fmax(noise, np.finfo(np.float64).eps * largest)
    flat = values.reshape(n * count, -1, k)
    slope, curvature = (
        Estimate(*(a.reshape(n, count, k) for a in (found.value, found.doubt, found.rounding)))
        for found in (first(flat, rounding), second(flat, rounding))
    )
    return Along(slope, curvature, largest, rounding)


def truths(s: Subject, lines: Lines) -> tuple[Mapping[str, Truth], float]:
    """What every quantity is, and how much of a value is rounding, relative to the largest."""
    found = along(s, lines.directions(s.spread))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(found.largest > 0, found.rounding / found.largest, 0.0)
    return _quantities(s, lines, found), float(relative.max())


def _quantities(s: Subject, lines: Lines, found_along: Along) -> dict[str, Truth]:
    slope, curvature = found_along.slope, found_along.curvature
    _, floor = found_along.sizes(slice(3))
    mixed = _line(curvature, 1).minus(_line(curvature, 2)).times(np.array(0.25))
    along = _line(curvature, 0)
    spread = s.spread[lines.axes]
    diagonal = _axes(curvature)
    found = {
        quantities.JACOBIAN: Truth(_line(slope, 0), scale_of(_line(slope, 0), floor)),
        quantities.DIRECTIONAL: Truth(along, scale_of(along, floor)),
        quantities.PRODUCT: Truth(mixed, scale_of(mixed, floor)),
        quantities.HESSIAN: Truth(mixed, scale_of(mixed, floor)),
        quantities.DIAGONAL: Truth(diagonal, scale_of(diagonal, floor[:, None])),
    }
    if len(lines.axes) == len(s.spread):
        terms = diagonal.times(1 / spread**2)
        total = terms.sum(axis=-1)
        levels = _largest(_axes(slope).value, axis=0) / spread**2
        magnitude = Estimate(np.abs(terms.value).sum(axis=-1), total.doubt, total.rounding)
        found[quantities.LAPLACIAN] = Truth(total, scale_of(magnitude, FLOOR * levels.sum(axis=-1)))
    return found


def _line(estimate: Estimate, i: int) -> Estimate:
    return Estimate(estimate.value[:, i], estimate.doubt[:, i], estimate.rounding[:, i])


def _axes(estimate: Estimate) -> Estimate:
    """Those along the axes, `(n, k, axes)`."""
    parts = (estimate.value, estimate.doubt, estimate.rounding)
    return Estimate(*(part[:, 3:].swapaxes(1, 2) for part in parts))


def _largest(values: Array, axis: int | tuple[int, ...]) -> Array:
    sizes = np.abs(values)
    return np.where(np.isfinite(sizes), sizes, 0.0).max(axis=axis)


def scale_of(estimate: Estimate, floor: Array) -> Array:
    """The largest of what is known to two digits, for each output; at least the floor."""
    sizes = np.abs(estimate.value)
    known = estimate.doubt <= SEEN * np.maximum(sizes, floor)
    largest = _over_places(np.where(known, sizes, 0.0))
    return np.maximum(largest, floor.reshape(len(largest), -1).max(axis=1))


def relative(numbers: Array, size: Array) -> Array:
    """Numbers over their size; 0 over 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numbers == 0, 0.0, numbers / size)


def _over_places(sizes: Array) -> Array:
    """The largest of each output."""
    return np.asarray(sizes.max(axis=tuple(i for i in range(sizes.ndim) if i != 1)))


def _values(s: Subject, directions: Array) -> Array:
    """The model at `PLACES` of every line through every example, `(n, lines, places, k)`."""
    n, count, d = directions.shape
    at_once = max(1, NUMBERS_AT_ONCE // (len(PLACES) * d))
    example = np.repeat(np.arange(n), count)
    flat = directions.reshape(n * count, d)
    parts = [
        _on_lines(s, example[start : start + at_once], flat[start : start + at_once])
        for start in range(0, n * count, at_once)
    ]
    return np.concatenate(parts).reshape(n, count, len(PLACES), -1)


def _on_lines(s: Subject, example: NDArray[np.integer], directions: Array) -> Array:
    f = s.f64

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        *leaves, along, t = tensors
        z, rest = f.point(leaves)
        return {"values": f(z + t * along, rest)}

    times = len(PLACES)
    rows = np.repeat(example, times)
    leaves = [xp.take(leaf, rows) for leaf in s.leaves]
    t = np.tile(PLACES, len(example))[:, None]
    found = s.run(compute, (*leaves, np.repeat(directions, times, axis=0), t))
    return found["values"].reshape(len(example), times, -1)
