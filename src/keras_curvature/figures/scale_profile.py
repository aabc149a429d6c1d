"""The curvature against the distance over which it is taken, epoch by epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FuncFormatter, NullFormatter

from keras_curvature.figures.page import foot, page, place
from keras_curvature.figures.style import Picture, Theme
from keras_curvature.figures.view import drawable
from keras_curvature.measurement.results import Measurement
from keras_curvature.report.data import Report, ScaleProfile, Verdict
from keras_curvature.report.scale_profile import NOTHING, read, shown_units
from keras_curvature.report.text import moment
from keras_curvature.typing import Array

MOST_LINES = 6
"""Steps drawn, the last one included: closer together in the beginning, where more happens."""

DECADES = 4
"""Height of the axis at most: what is smaller is flat for the eye."""


def against_distance(
    m: Measurement,
    report: Report,
    history: Sequence[tuple[int, ScaleProfile]],
    theme: Theme,
) -> Picture:
    """A line for each of some steps, and where rounding would hide it."""
    last = history[-1][1]
    said = Verdict(report.verdict.kind, read(last).sentence)
    figure = page(dataclasses.replace(report, verdict=said), "", (8.6, 5.2), theme)
    axes = figure.subplots()
    place(figure, left=0.85, right=1.75, bottom=0.95)
    along, up, units = shown_units(m, report)
    h = along * last.distances
    chosen = _chosen(history)
    few: dict[str, Any] = {"subs": (2, 5)}  # a mark at each number would take a third of the time
    axes.set_xscale("log", **few)
    axes.set_yscale("log", **few)
    axes.set_ylim(*_limits([up * scale_profile.rms for _, scale_profile in chosen]))
    axes.set_xlim(h.min() / 1.25, h.max() * 1.25)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    _rounding(axes, h, last, up, theme)
    _lines(axes, h, chosen, up, theme)
    used = along * float(np.mean(m.scale / m.input_spread))
    axes.axvline(used, color=theme.scale, lw=1.3, ls=":", label="h of scale_mean", zorder=1)
    axes.set_title("Curvature over a distance h, root mean square over places")
    axes.set_xlabel(f"h  [{units[0]}]")
    axes.set_ylabel(f"[{units[1]}]")
    axes.grid(True, which="major", lw=0.6)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), reverse=True)
    foot(figure, ["along lines between probe points", "where kinks are, it rises to the left, "
                  "and the mean does not", "rounding rises as 1 / h²"], theme)  # fmt: skip
    return figure


def _lines(
    axes: Axes, h: Array, chosen: Sequence[tuple[int, ScaleProfile]], up: float, theme: Theme
) -> None:
    colours = LinearSegmentedColormap.from_list("steps", [theme.page, theme.exact])
    *earlier, (step, last) = chosen
    for i, (before, scale_profile) in enumerate(earlier):
        style: dict[str, Any] = {"color": colours(0.3 + 0.6 * i / len(earlier)), "lw": 1.4}
        axes.plot(h, up * _positive(scale_profile.rms), label=moment(before), **style)
    mean = up * _positive(np.abs(last.mean))
    axes.plot(h, mean, "--", color=theme.exact, lw=1.2, label="|mean|")
    rms = up * _positive(last.rms)
    axes.plot(h, rms, "o-", color=theme.exact, lw=2.4, ms=4, label=moment(step))


def _chosen(history: Sequence[tuple[int, ScaleProfile]]) -> list[tuple[int, ScaleProfile]]:
    places = np.unique(np.round(np.geomspace(1, len(history), MOST_LINES)).astype(int)) - 1
    *earlier, last = [history[place] for place in places]
    return [*(pair for pair in earlier if (pair[1].rms > NOTHING).any()), last]


def _positive(values: Array) -> Array:
    return np.where(values > 0, drawable(values), np.nan)


def _limits(series: Sequence[Array]) -> tuple[float, float]:
    values = np.concatenate(series)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return 1e-3, 1.0
    top = 3 * float(values.max())
    return max(float(values.min()) / 3, top / 10**DECADES), top


def _rounding(axes: Axes, h: Array, last: ScaleProfile, up: float, theme: Theme) -> None:
    """Shades what is less than the rounding of differences, in single and in double precision."""
    bottom, top = axes.get_ylim()
    for noise, dtype in ((last.single_rounding, "float32"), (last.rounding, "float64")):
        fine = np.geomspace(h.min(), h.max(), 200)
        height = up * noise[-1] * (h[-1] / fine) ** 2
        if not (height > bottom).any():
            continue
        axes.fill_between(fine, bottom, np.maximum(height, bottom), color=theme.grid, zorder=0,
                          lw=0)  # fmt: skip
        label = f"  less than rounding\n  in {dtype}"
        axes.text(h.min(), bottom * (top / bottom) ** 0.02, label, fontsize=8, color=theme.faint)
