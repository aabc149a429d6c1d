"""Many boxes as arrays, and those that are not decided yet, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from keras_curvature.typing import Array

MOST_BYTES = 256 * 2**20
"""That boxes which wait may take: a quarter of what a proof may take in all."""


@dataclass(frozen=True)
class Boxes:
    """Boxes with what is known of them.

    Attributes:
        low: their lower corners, `(n, d)`.
        high: their upper corners, likewise.
        lower: no margin inside is below it, `(n,)`.
        upper: none is above it, likewise.
        blame: how much wider the bounds are because of each input's width, `(n, d)`; NaN where
            that was not looked at.
        cuts: how often each was cut out of the first one, `(n,)`.
    """

    low: Array
    high: Array
    lower: Array
    upper: Array
    blame: Array
    cuts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.low)

    def of(self, rows: object) -> Boxes:
        """Some of them."""
        return Boxes(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def volume(self) -> Array:
        """Share that each has of the first one, exactly: a power of a half."""
        return np.ldexp(1.0, -self.cuts)

    @property
    def middle(self) -> Array:
        """Their centres, `(n, d)`."""
        return self.low + (self.high - self.low) / 2


def joined(parts: Sequence[Boxes]) -> Boxes:
    """All of them."""
    if len(parts) == 1:
        return parts[0]
    return Boxes(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Boxes))
    )


def largest(boxes: Boxes, most: int) -> Boxes:
    """At most so many, the largest."""
    return boxes.of(np.argsort(boxes.cuts, kind="stable")[:most])


def cut(boxes: Boxes, along: NDArray[np.integer]) -> Boxes:
    """Both halves of each, cut in the middle along one input, `(n,)`."""
    rows = np.arange(len(boxes))
    middle = boxes.middle[rows, along]
    high, low = boxes.high.copy(), boxes.low.copy()
    high[rows, along], low[rows, along] = middle, middle
    blame = boxes.blame.copy()
    blame[rows, along] /= 2
    known = boxes.lower, boxes.upper, blame, boxes.cuts + 1
    return joined([Boxes(boxes.low, high, *known), Boxes(low, boxes.high, *known)])


class Waiting:
    """Boxes that are not decided yet: the largest come first, the smallest where memory is short.

    The largest are where a cut decides most. The smallest are decided soonest, so that what waits
    does not grow.
    """

    def __init__(self, first: Boxes, most_bytes: int = MOST_BYTES) -> None:
        """Begins with these."""
        self._by_cuts: dict[int, list[Boxes]] = {}
        self._count = 0
        self._most = max(1, most_bytes // (8 * (3 * first.low.shape[1] + 3)))
        self.add(first)

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        """Whether the smallest are next."""
        return self._count >= self._most

    def add(self, boxes: Boxes) -> None:
        """Has them wait."""
        for cuts in np.unique(boxes.cuts):
            part = boxes.of(boxes.cuts == cuts)
            self._by_cuts.setdefault(int(cuts), []).append(part)
        self._count += len(boxes)

    def take(self, most: int) -> Boxes:
        """Some that were cut equally often, at most so many; at least one has to wait."""
        cuts = (max if self.full else min)(self._by_cuts)
        parts, taken, count = self._by_cuts[cuts], [], 0
        while parts and count < most:
            part = parts.pop()
            room = most - count
            if len(part) > room:
                parts.append(part.of(slice(room, None)))
                part = part.of(slice(room))
            taken.append(part)
            count += len(part)
        if not parts:
            del self._by_cuts[cuts]
        self._count -= count
        return joined(taken)

    def parts(self) -> Iterator[Boxes]:
        """All that wait."""
        for parts in self._by_cuts.values():
            yield from parts
