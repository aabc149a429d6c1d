"""Generators of random numbers that a model holds, or that Keras makes for one call."""

from __future__ import annotations

import torch


class Seeded:
    """A generator with the numbers that it had when a model was traced.

    Every run of the trace draws them anew, so that one is as the other.
    """

    def __init__(self, generator: torch.Generator) -> None:
        """Keeps the numbers that come next."""
        self._kept = generator.clone_state()

    def __eq__(self, other: object) -> bool:
        """Whether the numbers are the same."""
        if not isinstance(other, Seeded):
            return NotImplemented
        return torch.equal(self._kept.get_state(), other._kept.get_state())

    def __hash__(self) -> int:
        return hash(self._kept.initial_seed())

    def again(self) -> torch.Generator:
        """A generator with these numbers."""
        return self._kept.clone_state()
