"""Where a case is evaluated: inputs drawn from a fixed seed, clear of kinks where they can be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

GRID = 1024
"""Points are multiples of 1/1024, so every dtype of a case sees the very same ones."""


@dataclass(frozen=True)
class Floats:
    """Distinct numbers spread over an interval, in random order.

    The interval is cut into as many cells as the example has numbers, one number to a cell,
    at 0.2 to 0.4 of its width. So two numbers of an example are at least 0.8 of a cell
    apart, and of an interval around 0 none is nearer to 0 than 0.1 of a cell: neither
    a maximum nor a `relu` of the input has its kink close by.

    Attributes:
        shape: of one example.
        low: lower end.
        high: upper end.
    """

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0

    def draw(self, rng: np.random.Generator, examples: int) -> np.ndarray:
        """Draws float64 numbers that float32 holds exactly, with room for some sums."""
        size = math.prod(self.shape)
        cells = rng.permuted(np.tile(np.arange(size), (examples, 1)), axis=1)
        places = (cells + rng.uniform(0.2, 0.4, size=cells.shape)) / size
        numbers = self.low + (self.high - self.low) * places
        return np.round(numbers * GRID).reshape(examples, *self.shape) / GRID


@dataclass(frozen=True)
class Integers:
    """Numbers of `range(count)`, for token ids and masks.

    Attributes:
        shape: of one example.
        count: how many there are.
    """

    shape: tuple[int, ...]
    count: int

    def draw(self, rng: np.random.Generator, examples: int) -> np.ndarray:
        """Draws integers."""
        return rng.integers(self.count, size=(examples, *self.shape), dtype=np.int32)


@dataclass(frozen=True)
class Words:
    """Some of a few words.

    Attributes:
        shape: of one example.
        words: to draw from.
    """

    shape: tuple[int, ...]
    words: tuple[str, ...]

    def draw(self, rng: np.random.Generator, examples: int) -> np.ndarray:
        """Draws words."""
        return rng.choice(self.words, size=(examples, *self.shape))


Draw = Floats | Integers | Words
