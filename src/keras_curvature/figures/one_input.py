"""A function of one input, its slope and its curvature, against the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

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
from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.report.data import Report
from keras_curvature.report.text import plain
from keras_curvature.typing import Array


def curves(m: ExactMeasurement, report: Report, column: int, theme: Theme) -> Picture:
    """Function, slope and curvature above one another, against the input.

    Where other inputs are held, they are so on the lines, and the probe's points, which differ in
    them, are dots that no line joins.
    """
    view = view_of(m, column, np.argsort(m.x[:, 0], kind="stable"))
    line = view if m.held is None else view_of(m.held, column)
    drawn = [view] if m.held is None else [view, line]
    x, along = view.x[:, 0], line.x[:, 0]
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
    if m.held is not None:
        for panel, values in zip(panels, (view.value, view.slope, view.exact), strict=True):
            dots: dict[str, Any] = {"ms": 4, "mew": 0, "alpha": 0.35, "color": theme.exact}
            panel.plot(x, values.ravel(), ".", label="points", **dots)
    _line(function, along, line.value, theme.exact, "model")
    _line(slope, along, line.slope[:, 0], theme.exact, "exact")
    means = means_of(m, column) if m.held is None else None
    _both_curvatures(curvature, view, line, float(m.scale[0]), means, theme)
    name = plain(m.feature_names[0], 60)
    curvature.set_xlabel(name if name == "x" else f"{name}  [x]")

    # Set, because what is not a number does not count for the limits, not even its x.
    low, high = range_of(x, FLAT * float(m.input_spread[0]))
    curvature.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    outside = _frame(function, [*(v.value for v in drawn), view.target], flat(m, column, 0))
    outside += _frame(slope, [v.slope for v in drawn], flat(m, column, 1))
    bends = [bend for v in drawn for bend in (v.exact, v.at_scale)]
    outside += _frame(curvature, [[0.0], *bends, view.known], flat(m, column, 2))
    for panel in panels:
        panel.legend(loc="lower right", bbox_to_anchor=(1.01, 0.985), ncols=4)
    held = "on the lines the other inputs are held at a central point"
    notes = [] if m.held is None else [held]
    notes += [f"{outside} points lie beyond the axes"] if outside else []
    if not view.inside.all():
        notes.append("fainter where x ± h leaves the probe’s range")
    foot(figure, [*counts(m, view), *notes], theme)
    return figure


def _both_curvatures(
    axes: Axes, view: View, line: View, h: float, means: tuple[str, str] | None, theme: Theme
) -> None:
    """Exact and at the scale; the latter is noise point by point where there are kinks.

    Args:
        axes: of the panel.
        view: the probe's points.
        line: what is joined: these too, or others on a line.
        h: the scale.
        means: of both; none where the line is another: the numbers of a probe are not those of it.
        theme: of the page.
    """
    x, at_scale, inside = view.x[:, 0], view.at_scale[:, 0], view.inside[:, 0]
    dots: dict[str, Any] = {"marker": ".", "ls": "", "ms": 4, "mew": 0, "color": theme.scale}
    used = _usable(view)
    axes.plot(x[~inside], at_scale[~inside], alpha=0.18, **dots)
    axes.plot(x[used], at_scale[used], alpha=0.5, **dots)
    over, exact = f"over ± {h:.3g}", "exact"
    if means is not None:
        exact, over = f"{exact}, mean {means[0]}", f"{over}, mean {means[1]}"
    along, on_line = line.x[:, 0], _usable(line)
    smooth = running_mean(along[on_line], line.at_scale[on_line, 0], h / 2)
    axes.plot(along[on_line], smooth, color=theme.scale, lw=3.4, alpha=0.75, label=over)
    _line(axes, along, line.exact[:, 0], theme.exact, exact)
    if view.known is not None:
        known: dict[str, Any] = {"ls": "--", "lw": 1.3}
        if line is not view:
            known = {"ls": "", "marker": ".", "ms": 4}
        axes.plot(x, view.known[:, 0], color=theme.ink, label="known", **known)


def _usable(view: View) -> NDArray[np.bool_]:
    """Where the curvature at the scale is known and inside of the probe's range."""
    at_scale = view.at_scale[:, 0]
    return view.inside[:, 0] & np.isfinite(at_scale) & np.isfinite(view.x[:, 0])


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
