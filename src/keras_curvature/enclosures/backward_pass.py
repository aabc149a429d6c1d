"""One way back through a program: linear functions of a tensor become such of what it comes from.

A row of coefficients A stands for `A y + c`, which is at most what is to be bounded, everywhere in
the box. See `backward_bounds`, which has the ideas and the rounding.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.enclosures.interval import SMALL, Interval
from keras_curvature.enclosures.lines import Lines
from keras_curvature.enclosures.program import Instruction
from keras_curvature.enclosures.transposed import Elementwise, Linear
from keras_curvature.typing import Array


@dataclass(frozen=True, eq=False)
class Charged:
    """A tensor over a batch of boxes, flat.

    Attributes:
        value: `(boxes, n)`.
        size: the largest magnitudes.
        shift: what the linear ops before it add up to as a constant, `(n,)`.
        charge: what a coefficient of 1 costs on its way through them, `(boxes, n)`.
    """

    value: Interval
    size: Array
    shift: Array
    charge: Array


@dataclass(frozen=True, eq=False)
class Band:
    """Two lines for each entry, `(slope +- slope_gap) x + (offset +- offset_gap)`.

    The line below has `+`, where `offset_gap` is 0 or less but for the slopes' part in it. All that
    is rounded where coefficients go through is in `offset_gap`.

    Attributes:
        slope: `(boxes, n)`, likewise the others; `None` where nothing is before it.
    """

    slope: Array | None
    slope_gap: Array | None
    offset: Array
    offset_gap: Array


def band(found: Lines, x: Charged, share: float) -> Band:
    """The lines of a function.

    Args:
        found: themselves.
        x: the argument.
        share: of magnitudes, that sums may round.
    """
    slope = found.lower_slope / 2 + found.upper_slope / 2
    gap = found.lower_slope / 2 - found.upper_slope / 2
    offset = found.lower_offset / 2 + found.upper_offset / 2
    offset_gap = found.lower_offset / 2 - found.upper_offset / 2
    steep = np.abs(slope) + np.abs(gap)
    rounded = share * (np.abs(offset) + np.abs(offset_gap) + steep * np.abs(x.shift))
    at = 2.0**-48 * x.size + 1.02 * x.charge
    rounded += SMALL + np.where(steep > 0, steep * at, 0.0)
    return Band(slope, gap, offset + slope * x.shift, offset_gap + gap * x.shift - rounded)


def end(x: Interval, share: float) -> Band:
    """What nothing is before: its bounds."""
    middle = x.lower / 2 + x.upper / 2
    radius = np.maximum(x.upper - middle, middle - x.lower) * (1 + 2.0**-50)
    return Band(None, None, middle, -radius - share * (np.abs(middle) + radius) - SMALL)


@dataclass(frozen=True, eq=False)
class Rows:
    """Coefficients `(1 or boxes, rows, n)`.

    Attributes:
        numbers: themselves.
        is_shared: whether they are the same for all boxes, and there for all entries.
        is_whole: whether those of the upper bounds, which are lower bounds of the opposite, are in
            the second half of the rows; if not, they are the opposite of these.
    """

    numbers: Array
    is_shared: bool = True
    is_whole: bool = False

    def own(self, chosen: Any) -> Rows:
        """Of the entries that each box has."""
        if not self.is_shared:
            return self
        numbers = self.numbers if chosen is None else self.numbers[0][chosen]
        return Rows(numbers, False, self.is_whole)

    def whole(self) -> Rows:
        """With those of the upper bounds."""
        if self.is_whole:
            return self
        return Rows(np.concatenate([self.numbers, -self.numbers], axis=1), self.is_shared, True)


@dataclass(frozen=True, eq=False)
class Start:
    """Where rows are after those ops that are the same for all boxes.

    Attributes:
        at: the op that is next.
        pending: the rows by tensor.
        shift: the constant of each row, `(rows,)`.
        charge: what the way costs, `(boxes, rows)`.
    """

    at: int
    pending: Mapping[Hashable, Rows]
    shift: Array
    charge: Array


def side_by_side(
    pending: dict[Hashable, Rows], names: Sequence[Hashable], sizes: Sequence[int], chosen: Any
) -> Rows:
    """The rows of all results of an op, which are pending no more; what nobody reads has zeros."""
    parts = [pending.pop(name, None) for name in names[: len(sizes)]]
    known = [part for part in parts if part is not None]
    if len(sizes) == 1:
        return known[0]
    known = alike(known, chosen)
    front = np.broadcast_shapes(*(part.numbers.shape[:2] for part in known))
    given = iter(known)
    flat = [
        np.broadcast_to(np.zeros(1) if part is None else next(given).numbers, (*front, size))
        for part, size in zip(parts, sizes, strict=True)
    ]
    return Rows(np.concatenate(flat, axis=-1), known[0].is_shared, known[0].is_whole)


def alike(parts: Sequence[Rows], chosen: Any) -> list[Rows]:
    """Rows of which the places say the same."""
    if not all(part.is_shared for part in parts):
        parts = [part.own(chosen) for part in parts]
    if any(part.is_whole for part in parts):
        parts = [part.whole() for part in parts]
    return list(parts)


def _sums(rows: Array, numbers: Array) -> Array:
    """Each row times the numbers of its box, `(boxes, rows)`."""
    found: Array = np.matmul(rows, numbers[:, :, None])[..., 0]
    return found


class Pass:
    """The way back from one tensor, over some boxes and for some of its entries.

    Attributes:
        instructions: of the program.
        boxes: which.
        chosen: the entries for each box, `(boxes, entries)`, among those of the start; `None` for
            all.
        total: the constants, the lower bounds first.
    """

    def __init__(
        self,
        instructions: Sequence[Instruction],
        known: Mapping[Hashable, Charged],
        bands: Mapping[Hashable, Band],
        boxes: Any,
        chosen: Any,
    ) -> None:
        self.instructions, self.known, self.bands = instructions, known, bands
        self.boxes, self.chosen = boxes, chosen
        self.pending: dict[Hashable, Rows] = {}
        self.total = np.zeros((len(boxes), 0))

    def run(self, start: Start) -> tuple[Array, Array]:
        """The lower and the upper bounds, `(boxes, entries)`."""
        shift = np.broadcast_to(start.shift, (len(self.boxes), len(start.shift)))
        charge = start.charge[self.boxes]
        if self.chosen is not None:
            shift, charge = (np.take_along_axis(x, self.chosen, axis=1) for x in (shift, charge))
        self.total = np.concatenate([shift - charge, -shift - charge], axis=1)
        self.pending = dict(start.pending)
        for i in range(start.at, -1, -1):
            step = self.instructions[i]
            waiting = [y for y in step.writes if y in self.pending]
            if not waiting:
                continue
            if isinstance(step.apply, Linear):
                self._linear(step, step.apply)
            elif isinstance(step.apply, Elementwise):
                rows = self._met(waiting[0], self.pending.pop(waiting[0]))
                assert rows is not None
                self._add(step.reads[0], rows)
            else:
                for y in waiting:
                    self._met(y, self.pending.pop(y))
        for x, rows in self.pending.items():
            self._met(x, rows)
        half = self.total.shape[1] // 2
        lower, upper = self.total[:, :half], -self.total[:, half:]
        return np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)

    def _linear(self, step: Instruction, linear: Linear) -> None:
        rows = side_by_side(self.pending, step.writes, linear.sizes, self.chosen)
        for x, map_ in zip(step.reads, linear.maps, strict=True):
            self._add(x, Rows(map_.back(rows.numbers), rows.is_shared, rows.is_whole))

    def _add(self, x: Hashable, rows: Rows) -> None:
        """Rows of a tensor that may have some already."""
        if x in self.pending:
            one, other = alike([part.own(self.chosen).whole() for part in (self.pending[x], rows)],
                               self.chosen)  # fmt: skip
            rows = Rows(one.numbers + other.numbers, False, True)
            size = self.known[x].size[self.boxes]
            self.total -= _sums(np.abs(rows.numbers), 2.0**-50 * size)
        self.pending[x] = rows

    def _met(self, name: Hashable, rows: Rows) -> Rows | None:
        """Rows of a tensor put into its lines: the rows of what these are lines in."""
        band, boxes, half = self.bands[name], self.boxes, self.total.shape[1] // 2
        rows = rows.own(self.chosen)
        numbers, sizes = rows.numbers, np.abs(rows.numbers)
        moved = _sums(numbers, band.offset[boxes])
        apart = _sums(sizes, band.offset_gap[boxes])
        if rows.is_whole:
            self.total += moved + apart
        else:
            self.total[:, :half] += moved + apart
            self.total[:, half:] += apart - moved
        if band.slope is None or band.slope_gap is None:
            return None
        found = numbers * band.slope[boxes][:, None]
        gap = band.slope_gap[boxes]
        if not gap.any():
            return Rows(found, False, rows.is_whole)
        sizes = np.multiply(sizes, gap[:, None], out=sizes if sizes.shape == found.shape else None)
        if rows.is_whole:
            found += sizes
            return Rows(found, False, True)
        both = np.empty((len(found), 2 * half, found.shape[2]))
        np.add(sizes, found, out=both[:, :half])
        np.subtract(sizes, found, out=both[:, half:])
        return Rows(both, False, True)
