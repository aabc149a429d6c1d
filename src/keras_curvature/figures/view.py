"""A measurement made ready to be drawn: nothing that an axis could stumble over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.measurement.statistics import finite, mean
from keras_curvature.typing import Array

HUGE = 1e100
"""Beyond it a number is drawn as missing: the arithmetic of axes would overflow."""

FLAT = 0.02
"""Least half-height of an axis in standard deviations, so that what is flat looks flat."""


@dataclass(frozen=True)
class View:
    """One output of a measurement, ready to be drawn: what is not a number is NaN."""

    x: Array
    value: Array
    slope: Array
    exact: Array
    at_scale: Array
    inside: NDArray[np.bool_]
    target: Array | None
    known: Array | None


def counts(m: ExactMeasurement, view: View) -> list[str]:
    """How many points there are, and how many of them cannot be drawn."""
    n = len(m.x)
    lost = n - int(np.sum(np.isfinite(m.diagonal).all(axis=(1, 2))))
    shown = len(view.x)
    notes = [f"{n} point{'s' if n != 1 else ''}" + (f", {shown} shown" if shown < n else "")]
    return notes + ([f"{lost} with a second derivative that is not finite"] if lost else [])


def which(m: ExactMeasurement, column: int) -> str:
    """Which component is drawn, if there are several."""
    outputs = m.value.shape[1]
    return f" · component {column} of {outputs}" if outputs > 1 else ""


def view_of(m: ExactMeasurement, column: int, rows: Any = slice(None)) -> View:
    """One output, at some of the points."""
    return View(
        x=drawable(m.x[rows]),
        value=drawable(m.value[rows, column]),
        slope=drawable(m.jacobian[rows, column]),
        exact=drawable(m.diagonal[rows, column]),
        at_scale=drawable(m.scale_diagonal[rows, column]),
        inside=m.inside[rows],
        target=None if m.target is None else drawable(m.target[rows, column]),
        known=None if m.reference is None else drawable(m.reference[rows, column]),
    )


def drawable(values: Array) -> Array:
    """NaN in the place of what no axis can show."""
    return np.where(np.abs(values) < HUGE, values, np.nan)


def flat(m: ExactMeasurement, column: int, order: int) -> float:
    """Least half-height of an axis of the `order`-th derivative."""
    return float(FLAT * m.output_spread[column] / m.input_spread.min() ** order)


def beyond_colours(count: int, what: str) -> str:
    """How many numbers have the last colour of a scale without being that number."""
    return f"{count} {what}{'s' * (count != 1)} beyond the colours"


def limit(series: Sequence[Array], least: float) -> float:
    """Where the colours of a signed map end: at its largest magnitude, unless few are large."""
    values = np.abs(np.concatenate(series))
    values = values[np.isfinite(values)]
    if not values.size:
        return least
    most, nearly = float(values.max()), float(np.percentile(values, 98))
    return max(nearly if most > 2 * nearly > 0 else most, least)


def range_of(values: Array, least: float) -> tuple[float, float]:
    """Where an axis begins and ends: around all values, no shorter than twice `least`."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    half = max((high - low) / 2, least)
    return (low + high) / 2 - half, (low + high) / 2 + half


def means_of(m: ExactMeasurement, column: int) -> tuple[str, str]:
    """Mean Laplacian of one output, exact and over the scale, as in the headline."""
    with np.errstate(over="ignore", invalid="ignore"):
        means = mean(finite(m.laplacian[:, column])), m.scale_mean([column])
    exact, at_scale = (f"{mean:.3g}" if np.isfinite(mean) else "–" for mean in means)
    return exact, at_scale
