"""What is said of an input that has two values in the probe, as 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """How much the output changes along an input that has two values in the probe.

    Attributes:
        start: the lower value.
        end: the higher one.
        size: mean |f at `end` − f at `start`|, all else as it is, in standard deviations of the
            output.
    """

    start: float
    end: float
    size: float

    @property
    def way(self) -> str:
        """From where to where, in words."""
        return f"from {self.start:.4g} to {self.end:.4g}"
