"""What a function makes of each input, at a glance: four numbers, and a name for their pattern.

Those of Feature-Function Curvature Analysis (FFCA, arXiv 2510.27207, and its package of that name),
in standard deviations of input and output, so that inputs compare, and from exact derivatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.measurement.results import ExactMeasurement, Measurement
from keras_curvature.measurement.statistics import PARTLY_HIDDEN, finite, interactions, mean
from keras_curvature.typing import Array

FEWEST = 4
"""Inputs from which patterns are told: they go by ranks, and among three nobody is last."""

ARCHETYPES = {
    "Noise": "ranks low in all four",
    "Hidden Interactor": "ranks high in interaction, and in the lower half in impact",
    "Workhorse": "ranks high in impact, low in volatility and interaction",
    "Catalyst": "ranks high in interaction, and in the upper half in impact",
    "Nonlinear Driver": "ranks high in non-linearity",
    "Volatile Specialist": "ranks high in volatility",
    "Stable Contributor": "in the upper half in impact, and none of the patterns above",
    "Complex Driver": "none of the other patterns",
}
"""The names that FFCA gives to patterns, and what they say: ranks among the inputs, no sizes."""

HARDLY_USED = 0.05
"""Share of the largest impact below which the function hardly uses an input.

What a standard deviation of it moves the output by is less than 5 % of what one of the other does.
"""

HARDLY = (
    f", and its impact is below {100 * HARDLY_USED:.0f} % of the largest: the function hardly uses "
    "it"
)

IN_KINKS = "in kinks"

MEANINGS = {
    **ARCHETYPES,
    IN_KINKS: "straight pieces: what bends is in kinks, which these numbers do not see",
}
"""What stands in an input's last column, and what it says."""

NUMBERS = ("impact", "volatility", "nonlinearity", "interaction")
"""Of each input, in the order of their columns."""


@dataclass(frozen=True)
class FeatureProfile:
    """What a function makes of one input, in standard deviations.

    Attributes:
        impact: mean |slope| along it.
        volatility: variance of that slope over the probe.
        nonlinearity: mean |second derivative| along it.
        interaction: sum over the other inputs of mean |mixed second derivative|; NaN where the
            whole Hessian was not taken.
        archetype: the pattern's name, see `ARCHETYPES`, by ranks among the inputs; `"in kinks"`
            where these hide the curvature, and empty where it is not known: of fewer than four
            inputs, and of more than 64.
        hardly_used: whether its impact is below `HARDLY_USED` of the largest.
    """

    impact: float
    volatility: float
    nonlinearity: float
    interaction: float
    archetype: str
    hardly_used: bool = False

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """Those of `NUMBERS`."""
        return self.impact, self.volatility, self.nonlinearity, self.interaction

    @property
    def meaning(self) -> str:
        """What the archetype says."""
        said = MEANINGS.get(self.archetype, "")
        return said + HARDLY if self.archetype == "Noise" and self.hardly_used else said


def profiles(measurement: Measurement) -> dict[str, FeatureProfile]:
    """By input, those of two values aside; empty for one input, and for estimates.

    Of several outputs the mean.
    """
    exact = measurement.by_input
    if exact is None or len(exact.feature_names) < 2:
        return {}
    columns = np.flatnonzero(~exact.has_two_values)
    numbers = _numbers(exact.in_units("std"), columns)
    hidden = not measurement.segments.hidden_fraction() < PARTLY_HIDDEN
    known = len(columns) >= FEWEST and bool(np.isfinite(numbers).all())
    if hidden:
        names = [IN_KINKS] * len(columns)
    else:
        names = archetypes(*numbers) if known else [""] * len(columns)
    largest = np.nanmax(numbers[0], initial=0.0)
    return {
        exact.feature_names[column]: FeatureProfile(i, v, n, x, name, i < HARDLY_USED * largest)
        for column, (i, v, n, x), name in zip(columns, numbers.T.tolist(), names, strict=True)
    }


def _numbers(m: ExactMeasurement, columns: NDArray[np.integer]) -> Array:
    """All four, `(4, columns)`."""
    slopes, bends = m.jacobian[..., columns], np.abs(m.diagonal[..., columns])
    finite_slopes = np.where(np.isfinite(slopes).all(axis=(1, 2), keepdims=True), slopes, np.nan)
    if not np.isfinite(finite_slopes).any():
        return np.full((4, len(columns)), np.nan)
    together = np.full(len(columns), np.nan)
    if m.hessian is not None:
        found = interactions(m.hessian)[np.ix_(columns, columns)]
        together = found.sum(axis=1) - np.diag(found)
    return np.stack(
        [
            np.nanmean(np.abs(finite_slopes), axis=(0, 1)),
            np.nanvar(finite_slopes, axis=0).mean(axis=0),
            np.array([mean(finite(bends[..., k])) for k in range(len(columns))]),
            together,
        ]
    )


def archetypes(
    impact: Array, volatility: Array, nonlinearity: Array, interaction: Array
) -> list[str]:
    """The pattern of each input: the first that its ranks among all inputs fit.

    Example:
        >>> low, high = np.arange(4.0), np.arange(4.0)[::-1]
        >>> archetypes(low, low, low, low)
        ['Noise', 'Complex Driver', 'Nonlinear Driver', 'Catalyst']
        >>> archetypes(low, high, high, high)[3]
        'Workhorse'
    """
    ranks = np.stack([_ranks(n) for n in (impact, volatility, nonlinearity, interaction)])
    return [_archetype(*column) for column in ranks.T]


def _archetype(impact: float, volatility: float, nonlinearity: float, interaction: float) -> str:
    if max(impact, volatility, nonlinearity, interaction) < 0.3:
        return "Noise"
    if interaction > 0.75 and impact < 0.5:
        return "Hidden Interactor"
    if impact > 0.7 and max(volatility, interaction) < 0.3:
        return "Workhorse"
    if impact > 0.5 and interaction > 0.75:
        return "Catalyst"
    if nonlinearity > 0.7:
        return "Nonlinear Driver"
    if volatility > 0.7:
        return "Volatile Specialist"
    return "Stable Contributor" if impact > 0.5 else "Complex Driver"


def _ranks(numbers: Array) -> Array:
    """From 1 / n for the smallest to 1; equal ones share the mean of theirs."""
    _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Array = ((ends - (counts - 1) / 2)[place]) / len(numbers)
    return ranks


def of_ranks(found: Mapping[str, FeatureProfile]) -> str:
    """What archetypes cannot say, where there are some."""
    if not any(one.archetype in ARCHETYPES for one in found.values()):
        return ""
    return (
        f"These are ranks among {len(found)} inputs: they say who comes first, not by how much. "
        "The numbers do."
    )


def by_impact(found: Mapping[str, FeatureProfile], most: int) -> list[tuple[str, FeatureProfile]]:
    """The profiles with the largest impact, largest first."""
    sizes = found.items()
    return sorted(sizes, key=lambda one: -np.nan_to_num(one[1].impact, nan=-1.0))[:most]
