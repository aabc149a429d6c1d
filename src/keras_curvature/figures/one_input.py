"""A function of one input, its slope and its curvature, against the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from keras_curvature.figures.page import foot, page, place
from keras_curvature.figures.style import Picture, Theme
from keras_curvature.figures.view import (
    FLAT,
    View,
    counts,
    flat,
    means_of,
    range_of,
    view_of,
    which,
)
from keras_curvature.measurement.data import ExactMeasurement
from keras_curvature.report.data import Report
from keras_curvature.report.text import plain
from keras_curvature.typing import Array


def curves(m: ExactMeasurement, report: Report, column: int, theme: Theme) -> Picture:
    """Function, slope and curvature above one another, against the input."""
    view = view_of(m, column, np.argsort(m.x[:, 0], kind="stable"))
    x = view.x[:, 0]
    figure = page(report, which(m, column), (8.0, 7.6), theme)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1, 1.4))
    place(figure, left=0.75, right=0.2, bottom=0.72, hspace=0.34)
    for panel, title, unit in zip(
        panels,
        ("Function", "Slope ∂y/∂x", "Curvature ∂²y/∂x²"),
        ("y", "y/x", "y/x²"),
        strict=True,
    ):
        panel.set_title(title)
        panel.set_ylabel(f"[{unit}]")
        panel.grid(True, lw=0.6)
        panel.axhline(0, color=theme.faint, lw=0.7, zorder=1)

    function, slope, curvature = panels
    if view.target is not None:
        function.plot(x, view.target, ".", ms=3, color=theme.target, label="data")
    _line(function, x, view.value, theme.exact, "model")
    _line(slope, x, view.slope[:, 0], theme.exact, "exact")
    _both_curvatures(curvature, x, view, m, column, theme)
    name = plain(m.feature_names[0], 60)
    curvature.set_xlabel(name if name == "x" else f"{name}  [x]")

    # Set, because what is not a number does not count for the limits, not even its x.
    low, high = range_of(x, FLAT * float(m.input_spread[0]))
    curvature.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    outside = _frame(function, [view.value, view.target], flat(m, column, 0))
    outside += _frame(slope, [view.slope], flat(m, column, 1))
    outside += _frame(curvature, [[0.0], view.exact, view.at_scale, view.known],
                      flat(m, column, 2))  # fmt: skip
    for panel in panels:
        panel.legend(loc="lower right", bbox_to_anchor=(1.01, 0.985), ncols=3)
    notes = [f"{outside} points lie beyond the axes"] if outside else []
    if not view.inside.all():
        notes.append("fainter where x ± h leaves the probe’s range")
    foot(figure, [*counts(m, view), *notes], theme)
    return figure


def _both_curvatures(
    axes: Axes, x: Array, view: View, m: ExactMeasurement, column: int, theme: Theme
) -> None:
    """Exact and at the scale; the latter is noise point by point where there are kinks."""
    h, means = float(m.scale[0]), means_of(m, column)
    exact, at_scale, inside = view.exact[:, 0], view.at_scale[:, 0], view.inside[:, 0]
    dots: dict[str, Any] = {"marker": ".", "ls": "", "ms": 4, "mew": 0, "color": theme.scale}
    used = inside & np.isfinite(at_scale) & np.isfinite(x)
    axes.plot(x[~inside], at_scale[~inside], alpha=0.18, **dots)
    axes.plot(x[used], at_scale[used], alpha=0.5, **dots)
    label = f"over ± {h:.3g}, mean {means[1]}"
    smooth = running_mean(x[used], at_scale[used], h / 2)
    axes.plot(x[used], smooth, color=theme.scale, lw=3.4, alpha=0.75, label=label)
    _line(axes, x, exact, theme.exact, f"exact, mean {means[0]}")
    if view.known is not None:
        known = view.known[:, 0]
        axes.plot(x, known, "--", color=theme.ink, lw=1.3, label="known")


def _line(axes: Axes, x: Array, y: Array, colour: str, label: str) -> None:
    # One point makes no line, and neither does one between two that are missing.
    marker = "o" if np.isfinite(y).sum() < 60 else None
    axes.plot(x, y, color=colour, lw=1.7, marker=marker, ms=3, label=label)


def running_mean(x: Array, y: Array, half: float) -> Array:
    """Mean of `y` over the points within `half` of each; `x` sorted, nothing missing."""
    total = np.concatenate([[0.0], np.cumsum(y)])
    first, last = np.searchsorted(x, x - half), np.searchsorted(x, x + half, side="right")
    return (total[last] - total[first]) / np.maximum(last - first, 1)


def _frame(axes: Axes, series: Sequence[Any], least: float) -> int:
    """Sets the limits of `y`; a few extreme points do not count. How many are outside."""
    parts = [np.asarray(s, dtype=float).ravel() for s in series if s is not None]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if not values.size:
        axes.set_ylim(-1, 1)
        return 0
    low, high = values.min(), values.max()
    core_low, core_high = np.percentile(values, [1, 99])
    core = core_high - core_low
    if 0 < core < (high - low) / 6:
        low, high = core_low - core / 2, core_high + core / 2
    half = max(0.54 * (high - low), least)
    low, high = (low + high) / 2 - half, (low + high) / 2 + half
    axes.set_ylim(low, high)
    return int(np.sum((values < low) | (values > high)))
