"""Where a claim is not proved, and points of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_curvature.proofs.search import Found
from keras_curvature.typing import Array

ROUNDS = 1000
"""Times that points are drawn until enough of them are outside of what is proved."""

LEAST = 1000
"""Points that are drawn at a time."""


@dataclass(frozen=True, eq=False)
class Unproved:
    """Boxes in parts of which a claim is open or refuted.

    Attributes:
        low: their lower corners, `(n, d)`.
        high: their upper corners.
        volume: of each.
        plane: the claim holds where `plane[:, :-1] @ t + plane[:, -1]` is at least 0, at `t` of
            [-1, 1] along each input, `(n, d + 1)`.
    """

    low: Array
    high: Array
    volume: Array
    plane: Array

    def __len__(self) -> int:
        return len(self.low)

    def drawn(self, n: int, random: np.random.Generator) -> Array:
        """Points `(n, d)`, evenly by volume; some may be proved where nearly all is."""
        kept, count = [np.zeros((0, self.low.shape[1]))], 0
        for attempt in range(ROUNDS):
            boxes = random.choice(len(self), max(n, LEAST), p=self.volume / self.volume.sum())
            share = random.random((len(boxes), self.low.shape[1]))
            margin = self.plane[boxes, -1] + (self.plane[boxes, :-1] * (2 * share - 1)).sum(axis=1)
            some = ~(margin >= 0) | (attempt == ROUNDS - 1)
            low, high = self.low[boxes[some]], self.high[boxes[some]]
            kept.append(low + share[some] * (high - low))
            count += len(low)
            if count >= n:
                break
        return np.concatenate(kept)[:n]


def unproved(found: Found, tolerance: float) -> Unproved:
    """Where a claim is not proved, with the tolerance of it."""
    parts = found.open_boxes, found.refuted_boxes
    low, high, volume, plane = (
        np.concatenate([getattr(boxes, name) for boxes in parts])
        for name in ("low", "high", "volume", "plane")
    )
    plane[:, -1] += tolerance
    return Unproved(low, high, volume, plane)
