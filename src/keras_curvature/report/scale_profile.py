"""What the curvature over many distances says: smooth, made of kinks, or rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.measurement import rounding_noise
from keras_curvature.measurement.results import Measurement
from keras_curvature.report.data import Report, ScaleProfile
from keras_curvature.typing import Array

SHORTEST = 4
"""Distances at the short end that have to agree for a function to count as smooth there."""

LEVEL = 0.05
"""Relative difference up to which they agree."""

NOTHING = 1e-6
"""Curvature in standard deviations below which there is none."""

DOMINATED = 0.5
"""Share of rounding in the root mean square from which a distance is left to rounding."""


@dataclass(frozen=True)
class Reading:
    """What a scale profile says.

    Attributes:
        kind: `"smooth"`, `"kinks"`, `"rounding"`, or `"flat"` where there is nothing to see.
        sentence: the same for a person.
    """

    kind: str
    sentence: str


def profile_of(m: Measurement) -> ScaleProfile | None:
    """Curvature over each distance, in standard deviations, all outputs together."""
    found = m.multiscale
    if found is None:
        return None
    curvature = found.curvature / m.output_spread
    finite = np.isfinite(curvature)
    count = finite.sum(axis=(1, 2))
    known = np.where(finite, curvature, 0.0)
    empty = np.full(count.shape, np.nan)
    mean, square = (
        np.divide(x.sum(axis=(1, 2)), count, out=empty.copy(), where=count > 0)
        for x in (known, known**2)
    )
    double, single = (
        rounding_noise.in_second_difference(
            np.sqrt(np.mean((noise / m.output_spread) ** 2)), found.distances
        )
        for noise in (found.noise, found.single_noise)
    )
    return ScaleProfile(found.distances, mean, np.sqrt(square), double, single)


def read(scale_profile: ScaleProfile) -> Reading:
    """Says at which distances the function is smooth and at which there is noise.

    Where it is smooth, the curvature settles as the distance shrinks. In a function with kinks
    it does not: few windows hold one, and it is the stronger there the shorter they are.
    """
    h, rms = scale_profile.distances, scale_profile.rms
    known = np.isfinite(rms)
    if not (rms[known] > NOTHING).any():
        return Reading("flat", "Flat: there is no curvature at any distance.")
    seen = known & (rms > NOTHING) & (scale_profile.rounding < DOMINATED * rms)
    if seen.sum() < SHORTEST:
        lost = h[known & ~seen].max()
        words = f"Rounding: over {_deviations(lost)} and less differences say nothing."
        return Reading("rounding", words)
    settled = float(np.median(rms[seen][-SHORTEST:]))
    level = np.abs(rms / settled - 1) <= LEVEL
    if not level[seen][-SHORTEST:].all():
        words = (
            "Kinks: at single places it never settles, however short the distance. The mean over "
            "many places does."
        )
        return Reading("kinks", words)
    below = _longest_level(h, level | ~seen)
    words = f"Smooth: the curvature is the same over every distance up to {_deviations(below)}"
    share = scale_profile.rounding[-1] / rms[-1]
    tail = ", down to where rounding sets in." if share > DOMINATED else "."
    return Reading("smooth", words + tail)


def shown_units(m: Measurement, report: Report) -> tuple[float, float, tuple[str, str]]:
    """Factors for distance and curvature where a scale profile is drawn, and what they are in then.

    With a single input in the units of the data, as everything else that is drawn against it.
    """
    if len(m.input_spread) == 1 and report.units == "raw":
        x, y = float(m.input_spread[0]), float(np.sqrt(np.mean(m.output_spread**2)))
        return x, y / x**2, ("x", "y/x²")
    return 1.0, 1.0, ("standard deviations of the inputs", "σy/σx²")


def _deviations(h: float) -> str:
    return "one standard deviation" if h == 1 else f"{h:.2g} standard deviations"


def _longest_level(h: Array, level: NDArray[np.bool_]) -> float:
    """The longest distance from which on all shorter ones are level."""
    uneven = np.flatnonzero(~level)
    return float(h[uneven[-1] + 1] if uneven.size else h[0])
