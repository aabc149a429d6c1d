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
        proved: share of each where the claim holds, `(n,)`.
        refuted: share where it does not.
        plane: no margin is below `plane[:, :-1] @ t + plane[:, -1]`, at `t` of [-1, 1] along each
            input, `(n, d + 1)`.
    """

    low: Array
    high: Array
    lower: Array
    upper: Array
    blame: Array
    cuts: NDArray[np.int64]
    proved: Array
    refuted: Array
    plane: Array

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
    def open_volume(self) -> Array:
        """What of it is neither proved nor refuted."""
        return self.volume * np.maximum(1 - self.proved - self.refuted, 0)

    @property
    def middle(self) -> Array:
        """Their centres, `(n, d)`."""
        return self.low + (self.high - self.low) / 2


def undivided(
    low: Array, high: Array, lower: Array, upper: Array, blame: Array, cuts: NDArray[np.int64]
) -> Boxes:
    """Boxes of no part of which more is known than of the whole."""
    n, d = low.shape
    plane = np.zeros((n, d + 1))
    plane[:, -1] = lower
    return Boxes(low, high, lower, upper, blame, cuts, np.zeros(n), np.zeros(n), plane)


def joined(parts: Sequence[Boxes]) -> Boxes:
    """All of them."""
    if len(parts) == 1:
        return parts[0]
    return Boxes(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Boxes))
    )


def largest(boxes: Boxes, most: int) -> Boxes:
    """At most so many, those of which most is open, else the largest."""
    return boxes.of(np.lexsort((boxes.cuts, -boxes.open_volume))[:most])


def cut(boxes: Boxes, along: NDArray[np.integer]) -> Boxes:
    """Both halves of each, cut in the middle along one input, `(n,)`."""
    rows = np.arange(len(boxes))
    middle = boxes.middle[rows, along]
    high, low = boxes.high.copy(), boxes.low.copy()
    high[rows, along], low[rows, along] = middle, middle
    blame = boxes.blame.copy()
    blame[rows, along] /= 2
    known = boxes.lower, boxes.upper, blame, boxes.cuts + 1
    return joined([undivided(boxes.low, high, *known), undivided(low, boxes.high, *known)])


class Waiting:
    """Boxes that are not decided yet: the most open come first, the smallest where memory is short.

    What is most open by volume is where a cut decides most. The smallest are decided soonest, so
    that what waits does not grow.

    Attributes:
        proved: share of the first box that is proved in parts of those that wait.
        refuted: share that is refuted.
    """

    def __init__(self, first: Boxes, most_bytes: int = MOST_BYTES) -> None:
        """Begins with these."""
        self._by_size: dict[int, list[Boxes]] = {}
        self._count = 0
        self._most = max(1, most_bytes // (8 * (4 * first.low.shape[1] + 6)))
        self.proved = self.refuted = 0.0
        self.add(first)

    def __len__(self) -> int:
        return self._count

    @property
    def full(self) -> bool:
        """Whether the smallest are next."""
        return self._count >= self._most

    def add(self, boxes: Boxes) -> None:
        """Has them wait."""
        with np.errstate(divide="ignore"):
            halvings = np.minimum(-np.log2(boxes.open_volume), boxes.cuts + 64.0).astype(int)
        for size in np.unique(halvings):
            self._by_size.setdefault(int(size), []).append(boxes.of(halvings == size))
        self._counted(boxes, 1)

    def take(self, most: int) -> Boxes:
        """Some of which about as much is open, at most so many; at least one has to wait."""
        size = (max if self.full else min)(self._by_size)
        parts, taken, count = self._by_size[size], [], 0
        while parts and count < most:
            part = parts.pop()
            room = most - count
            if len(part) > room:
                parts.append(part.of(slice(room, None)))
                part = part.of(slice(room))
            taken.append(part)
            count += len(part)
        if not parts:
            del self._by_size[size]
        found = joined(taken)
        self._counted(found, -1)
        return found

    def _counted(self, boxes: Boxes, sign: int) -> None:
        self._count += sign * len(boxes)
        self.proved += sign * float((boxes.volume * boxes.proved).sum())
        self.refuted += sign * float((boxes.volume * boxes.refuted).sum())

    def parts(self) -> Iterator[Boxes]:
        """All that wait."""
        for parts in self._by_size.values():
            yield from parts
