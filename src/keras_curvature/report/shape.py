"""What is said of the shape that was asked of a function: numbers and words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.measurement.shape import Kept
from keras_curvature.report.metrics import CURVATURE, SHAPE, SLOPE, VALUE, Meaning
from keras_curvature.report.text import formatted, listed, percent, plain
from keras_curvature.typing import Units

TOLD = 6
"""Inputs of a point that are told in a sentence."""

BROKEN = "shape broken"
"""What a `StopOnVerdict` calls it where some of what is asked does not hold everywhere."""

NAMED = 3
"""Shapes that are told in the sentence on all of them."""


@dataclass(frozen=True)
class ShapeEntry:
    """How well a function keeps one entry of `shape`.

    Attributes:
        input: name of the input.
        word: `"convex"`, `"increasing"`, …
        fraction: share of the probe where it holds.
        worst_violation: at the worst point, in the units of the report; 0 where it holds.
        unit: of that.
        point: of the probe, where it is.
        at: its numbers by name; empty where there is no violation or are very many.
    """

    input: str
    word: str
    fraction: float
    worst_violation: float
    unit: str
    point: int
    at: Mapping[str, float]

    @property
    def name(self) -> str:
        """As its numbers begin."""
        return f"{self.input}_{self.word}"

    @property
    def numbers(self) -> dict[str, tuple[float, Meaning]]:
        """Its numbers and what they mean."""
        violation = dataclasses.replace(SHAPE["worst_violation"], unit=self.unit)
        return {
            f"{self.name}_fraction": (self.fraction, SHAPE["fraction"]),
            f"{self.name}_worst_violation": (self.worst_violation, violation),
        }

    def __str__(self) -> str:
        """In one sentence.

        Example:
            >>> print(ShapeEntry("strike", "convex", 0.97, 0.2, "y/x²", 4, {"strike": 90.0}))
            convex in strike at 97 % of the points; worst: off by 0.2 y/x², at strike 90
        """
        said = f"{self.word} in {plain(self.input, 40)} at {percent(self.fraction)} of the points"
        if not self.worst_violation > 0:
            return said
        named = [f"{plain(name, 20)} {formatted(x)}" for name, x in self.at.items()]
        where = listed(named, TOLD) if named else f"probe point {self.point}"
        return f"{said}; worst: off by {formatted(self.worst_violation)} {self.unit}, at {where}"


def entries(kept: Sequence[Kept], units: Units) -> tuple[ShapeEntry, ...]:
    """What was found, in these units."""
    return tuple(
        ShapeEntry(
            input=one.condition.input,
            word=one.condition.word,
            fraction=float(np.mean(one.holds)),
            worst_violation=one.worst * (one.unit if units == "raw" else 1.0),
            unit=Meaning("", "", (VALUE, SLOPE, CURVATURE)[one.order]).unit_in(units),
            point=one.point,
            at=one.at,
        )
        for one in kept
    )


def broken(entries: Sequence[ShapeEntry]) -> str:
    """Which of them do not hold at every point, the worst first; empty where all do.

    Example:
        >>> strike = ShapeEntry("strike", "convex", 0.07, 0.2, "y/x²", 4, {})
        >>> print(broken([strike, ShapeEntry("spot", "increasing", 1.0, 0.0, "y/x", 0, {})]))
        1 of 2 shapes is broken: convex in strike holds at 7 % of the points.
        >>> broken([])
        ''
    """
    found = sorted((one for one in entries if one.fraction < 1), key=lambda one: one.fraction)
    if not found:
        return ""
    told = [
        f"{one.word} in {plain(one.input, 40)} holds at {percent(one.fraction)} of the points"
        for one in found[:NAMED]
    ]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    which = f"{len(found)} of {len(entries)} shapes {'is' if len(found) == 1 else 'are'} broken"
    if not entries[1:]:
        which = "The shape that was asked for is broken"
    return f"{which}: {', '.join(told)}{more}."


def fraction(kept: Sequence[Kept]) -> dict[str, float]:
    """The share of the probe where all of it holds, where anything was asked."""
    holds = [one.holds for one in kept]
    return {"shape_fraction": float(np.mean(np.all(holds, axis=0)))} if holds else {}
