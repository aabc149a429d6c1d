"""The examples at which claims are looked at, and what differences say there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from keras_curvature.measurement import rounding_noise
from keras_curvature.typing import Array
from keras_curvature.verification import value_steps
from keras_curvature.verification.black_box import BlackBox
from keras_curvature.verification.lengths import length_of
from keras_curvature.verification.line_derivatives import PLACES, Estimate, derivative
from keras_curvature.verification.truth import (
    ALL_AXES,
    NUMBERS_AT_ONCE,
    SOME_AXES,
    Along,
    Lines,
    along_lines,
)

MOST_ROWS = 2**18
"""Values that the first lines may take together; so many examples are looked at."""

FEW, MANY = 8, 256
"""Examples: as many as `MOST_ROWS` lets, within these bounds."""

MOST_OUTPUTS = 16
"""Up to so many outputs each is looked at; of more, a random mixture."""

NOISY = 8
"""Examples at which rounding is measured."""

SHORTER_LINE = 1e-3
"""Of the line on which rounding is measured: what waves on that one does not on this."""

BESIDE = 24
"""Between lines beside each other, in steps between the points on them."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Some of the user's examples.

    Attributes:
        box: the function.
        x: the examples, `(n, d)`, numbers that the function's dtype holds exactly.
        chosen: which of the user's they are, `(n,)`.
        total: how many the user gave.
        spread: standard deviation of each input over all, `(d,)`.
        lines: random directions, and axes.
        mixing: the share of each output in each of the `k` that are looked at, `(outputs, k)`.
        rounding: in a value as differences are taken of, `(k,)`.
        steps: that the values of each output are multiples of, `(outputs,)`; 0 for none.
    """

    box: BlackBox
    x: Array
    chosen: NDArray[np.integer]
    total: int
    spread: Array
    lines: Lines
    mixing: Array
    rounding: Array
    steps: Array
    known: dict[bytes, Array] = field(default_factory=dict, repr=False)

    @property
    def count(self) -> int:
        """How many examples are looked at."""
        return len(self.x)

    @property
    def stepped(self) -> Array:
        """By how much steps may put a value off, `(k,)`."""
        return np.asarray(self.steps @ np.abs(self.mixing)) / 2

    @property
    def is_mixed(self) -> bool:
        """Whether outputs are mixed."""
        return self.mixing.shape[0] > self.mixing.shape[1]

    def shaped(self, rows: Array) -> Array:
        """Flat points or directions as the function takes them."""
        return rows.reshape(-1, *self.box.input_shape)

    def along(self) -> Along:
        """First and second differences along the first lines."""
        directions = self.lines.directions(self.spread)
        return along_lines(self._on(directions), self.rounding)

    def derivative(self, lines: Array, order: int) -> Estimate:
        """The derivative along lines `(n, lines, d)`, arrays `(n, lines, k)`."""
        n, count, _ = lines.shape
        flat = self._on(lines).reshape(n * count, len(PLACES), -1)
        floor = np.finfo(np.float64).eps * _largest(flat[:, 0])
        found = derivative(flat, np.fmax(self.rounding, floor), order)
        parts = (found.value, found.doubt, found.rounding)
        return Estimate(*(part.reshape(n, count, -1) for part in parts))

    def _on(self, lines: Array) -> Array:
        """Values at `PLACES` of lines, `(n, lines, places, k)`."""
        known = {
            i: self.known[key]
            for i in range(lines.shape[1])
            if (key := lines[:, i].tobytes()) in self.known
        }
        new = [i for i in range(lines.shape[1]) if i not in known]
        for i, values in zip(new, self._evaluated(lines[:, new]), strict=True):
            known[i] = self.known[lines[:, i].tobytes()] = values
        return np.stack([known[i] for i in range(lines.shape[1])], axis=1)

    def _evaluated(self, lines: Array) -> Iterator[Array]:
        """Values at `PLACES` of lines, one line after the other, `(n, places, k)`."""
        n, count, d = lines.shape
        if not count:
            return
        x, flat = np.repeat(self.x, count, axis=0), lines.reshape(n * count, d)
        at_once = max(1, NUMBERS_AT_ONCE // (len(PLACES) * d))
        parts = []
        for start in range(0, n * count, at_once):
            some = slice(start, start + at_once)
            moved = x[some, None] + PLACES[:, None] * flat[some, None]
            parts.append(self.box.values(self.shaped(moved.reshape(-1, d))) @ self.mixing)
        yield from np.concatenate(parts).reshape(n, count, len(PLACES), -1).swapaxes(0, 1)

    def over(self, factor: Array | float) -> Sample:
        """The same with lines so many times as long."""
        lines = replace(self.lines, u=self.lines.u * factor, v=self.lines.v * factor)
        return replace(self, spread=self.spread * factor, lines=lines, known={})

    def one(self, example: int) -> Sample:
        """The same at one of the examples."""
        at = slice(example, example + 1)
        lines = replace(self.lines, u=self.lines.u[at], v=self.lines.v[at])
        return replace(self, x=self.x[at], chosen=self.chosen[at], lines=lines, known={})


def sample_of(box: BlackBox, x: Array, seed: int, *, few: bool) -> Sample:
    """Chooses the examples, and how far they are moved.

    Args:
        box: the function.
        x: all examples.
        seed: of the choice, and of the directions.
        few: whether a few are enough, as where all come by the same code.
    """
    flat = x.reshape(len(x), -1).astype(box.dtype).astype(np.float64)
    d = flat.shape[1]
    still = flat.min(axis=0) == flat.max(axis=0)
    deviation = flat.std(axis=0)
    spread = np.where(still | (deviation == 0), 1.0, deviation)
    axes = d if d <= ALL_AXES else SOME_AXES
    affordable = MOST_ROWS // (len(PLACES) * (axes + 3))
    most = FEW if few else int(np.clip(affordable, FEW, MANY))
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(flat))[:most])
    n = len(chosen)
    directions = rng.normal(size=(2, n, d))
    directions *= spread / np.linalg.norm(directions, axis=2, keepdims=True)
    some = np.arange(d) if axes == d else np.sort(rng.permutation(d)[:axes])
    m = box.width
    mixing = np.eye(m) if m <= MOST_OUTPUTS else rng.normal(size=(m, 1)) / np.sqrt(m)
    lines = Lines(directions[0], directions[1], some)
    unknown = np.zeros(mixing.shape[1])
    s = Sample(box, flat[chosen], chosen, len(x), spread, lines, mixing, unknown, np.zeros(m))
    s = replace(s, steps=_steps(s, rng))
    s = replace(s, rounding=np.maximum(noise(s, box.values), s.stepped))
    return _fitting(s, still) if still.any() else s


def noise(s: Sample, values: Callable[[Array], Array], length: float = 1.0) -> Array:
    """Standard deviation of the rounding in one value, `(k,)`; over so many times the usual line.

    What does not wave over that line only: a shorter one tells rounding from fast waves, but not
    that of float32, whose numbers lie further apart. There are three such lines beside each other
    at an example: a kink is on one of them at most, also where all examples lie on kinks.
    """
    beside = BESIDE * rounding_noise.STEP * np.arange(-1, 2)
    offsets = length * (beside[:, None] + rounding_noise.offsets())
    x, v = s.x[:NOISY], s.lines.v[:NOISY]
    rows = x[:, None] + offsets.reshape(-1, 1) * v[:, None]
    found = values(s.shaped(rows.reshape(-1, x.shape[1]))) @ s.mixing
    with np.errstate(invalid="ignore"):
        measured = rounding_noise.noise(found.reshape(-1, offsets.shape[1], found.shape[1]))
    return np.where(np.isfinite(measured), measured, 0.0)


def _steps(s: Sample, rng: np.random.Generator) -> Array:
    """The steps in the values of each output."""
    x, v = s.x[:NOISY], s.lines.v[:NOISY]
    offsets = value_steps.places(rng, len(x))
    rows = x[:, None] + offsets.reshape(len(x), -1, 1) * v[:, None]
    found = s.box.values(s.shaped(rows.reshape(-1, x.shape[1])))
    dtype = s.box.says if s.box.exact is None else "float64"
    return value_steps.steps(found.reshape(*offsets.shape, -1), dtype)


def _fitting(s: Sample, still: NDArray[np.bool_]) -> Sample:
    """The sample with inputs that do not vary moved over a length that differences can judge."""

    def scaled(length: float) -> Sample:
        return s.over(np.where(still, length, 1.0))

    def along_at(length: float) -> Along:
        one = scaled(length)
        direction = one.spread * still / np.sqrt(still.sum())
        lines = np.broadcast_to(direction, (s.count, 1, len(direction)))
        return along_lines(one._on(np.ascontiguousarray(lines)), s.rounding)

    length = length_of(still, along_at)
    return s if length is None else scaled(length)


def _largest(values: Array) -> Array:
    sizes = np.abs(values)
    return np.where(np.isfinite(sizes), sizes, 0.0).max(axis=0)
