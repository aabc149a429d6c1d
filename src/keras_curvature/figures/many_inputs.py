"""How a function of many inputs bends along each of them, and which pairs interact."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from keras_curvature.figures.page import HEADER, foot, page, place
from keras_curvature.figures.style import Picture, Theme
from keras_curvature.figures.view import counts, drawable, view_of
from keras_curvature.measurement.constant_inputs import constant_inputs
from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.report.data import Report
from keras_curvature.report.metrics import CHANGE, CURVATURE, IN_DEVIATIONS, MOST_FEATURES, largest
from keras_curvature.report.pairs import BETWEEN_TWO_VALUES, why_none
from keras_curvature.report.text import labels, listed
from keras_curvature.typing import Array

MOST_ANNOTATED = 12
"""Rows of a heat map up to which its numbers are written into it."""

ROW = 0.27
"""Inches of a row of bars."""


def features(m: ExactMeasurement, report: Report, theme: Theme) -> Picture:
    """Curvature along each input as bars, and of each pair of inputs as a heat map.

    Inputs of two values have bars of their own below: of the change from one to the other. The
    heat map has a column for each, and no row: two of them have no entry together.
    """
    exact = drawable(np.array([report.features.get(name, np.nan) for name in m.feature_names]))
    at_scale = drawable(np.array(list(m.scale_feature_curvature().values())))
    pairs = None if report.interactions is None else drawable(report.interactions)
    order = _most_curved(exact, at_scale, pairs, np.flatnonzero(~m.has_two_values))
    cut = dict(zip(m.feature_names, labels(m.feature_names, 20), strict=True))
    names = [cut[m.feature_names[i]] for i in order]
    sizes = largest({name: change.size for name, change in report.changes.items()})
    two = [m.feature_names.index(name) for name, _ in sizes]
    longest = 0.075 * max(len(name) for name in cut.values())  # inches, about
    rows, changed = len(order), len(two)
    below = max(1.15, 0.35 + longest) + (ROW * changed + 1.0 if changed else 0.0)
    figure = page(report, "", (9.2, HEADER + max(2.4, ROW * rows) + below), theme)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    place(figure, left=longest + 0.3, right=0.95, bottom=below, wspace=0.09)
    if rows:
        _bars(figure, left, names, exact[order], at_scale[order], theme)
        numbers = len(exact) - len(report.changes)
        if numbers > rows:
            left.set_title(f"Along each input ({numbers - rows} of {numbers} omitted)")
    else:
        _explain(left, "Every input has two values in the probe.", theme)
    right.set_title("Of each pair of inputs")
    words = why_none(pairs, at_scale)
    if words or pairs is None:
        _explain(right, words, theme)
    elif rows:
        others = [*names, *(cut[name] for name, _ in sizes)]
        _heat_map(figure, right, others, pairs[order][:, [*order, *two]], theme)
    if changed:
        _changes(figure, left, report, sizes, cut, theme)
    outputs = m.value.shape[1]
    notes = [f"mean over {outputs} outputs"] if outputs > 1 else []
    constant = constant_inputs(m)
    notes += [f"{listed(constant)}: the same at all points"] if constant else []
    notes += (
        [f"pairs with an input of two values: {BETWEEN_TWO_VALUES}"]
        if changed and right.images
        else []
    )
    foot(figure, [*counts(m, view_of(m, 0)), *notes], theme)
    return figure


def _most_curved(
    exact: Array, at_scale: Array, pairs: Array | None, among: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Which inputs are shown, most curved first; one that only interacts is shown too."""
    bar = np.fmax(np.nan_to_num(exact), np.nan_to_num(at_scale))
    reach = bar if pairs is None else np.fmax(bar, np.nan_to_num(pairs).max(axis=1))
    shown = among[np.argsort(-reach[among], kind="stable")[:MOST_FEATURES]]
    return shown[np.argsort(-bar[shown], kind="stable")]


def _bars(
    figure: Figure, axes: Axes, names: list[str], exact: Array, at_scale: Array, theme: Theme
) -> None:
    rows = np.arange(len(names))
    longest = np.nanmax(np.nan_to_num(np.concatenate([exact, at_scale, [0.0]]))) or 1.0
    for shift, values, colour, label in (
        (-0.19, exact, theme.exact, "exact"),
        (0.19, at_scale, theme.scale, "over ± h, kinks included"),
    ):
        axes.barh(rows + shift, np.nan_to_num(values), height=0.36, color=colour, label=label)
        for row, value in zip(rows, values, strict=True):
            text = f" {value:.2g}" if np.isfinite(value) else " unknown"
            axes.text(max(0.0, np.nan_to_num(value)), row + shift, text, va="center",
                      fontsize=6.5, color=theme.faint)  # fmt: skip
    axes.set_title("Along each input")
    axes.set_xlabel(f"mean |∂²y/∂xᵢ²|  [{IN_DEVIATIONS[CURVATURE]}]")
    axes.set_yticks(rows, names, color=theme.ink)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.17 * longest)
    axes.tick_params(axis="y", length=0)
    height = axes.get_position().height * figure.get_figheight()
    below = -0.42 / height  # inches, under the label of the axis
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, below), ncols=2)


def _heat_map(figure: Figure, axes: Axes, names: list[str], pairs: Array, theme: Theme) -> None:
    top = float(np.nanmax(pairs, initial=0.0)) or 1.0
    image = axes.imshow(pairs, cmap=theme.rising, norm=Normalize(0, top), aspect="auto")
    rotation = 45 if max(len(name) for name in names) <= 8 else 90
    style: dict[str, Any] = {"ha": "right", "va": "center", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, rotation=rotation, color=theme.ink, **style)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    box = axes.get_position()
    beside = figure.add_axes((box.x1 + 0.01, box.y0, 0.012, box.height))
    bar = figure.colorbar(image, cax=beside)
    bar.set_label(f"mean |∂²y/∂xᵢ∂xⱼ|  [{IN_DEVIATIONS[CURVATURE]}]")
    bar.outline.set_visible(False)
    if len(names) <= MOST_ANNOTATED:
        for i, j in np.ndindex(*pairs.shape):
            colour = theme.page if pairs[i, j] > 0.55 * top else theme.ink
            text = f"{pairs[i, j]:.2g}" if np.isfinite(pairs[i, j]) else "–"
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color=colour)


def _changes(
    figure: Figure,
    above: Axes,
    report: Report,
    sizes: list[tuple[str, float]],
    cut: dict[str, str],
    theme: Theme,
) -> None:
    """Bars of the change of the output along each input of two values, below the others."""
    rows, values = np.arange(len(sizes)), drawable(np.array([size for _, size in sizes]))
    box, inch = above.get_position(), 1 / figure.get_figheight()
    axes = figure.add_axes((box.x0, 0.72 * inch, box.width, ROW * len(sizes) * inch))
    axes.barh(rows, np.nan_to_num(values), height=0.6, color=theme.exact)
    for row, (name, size) in enumerate(sizes):
        few = report.changes[name].short
        text = f" {report.changes[name].way}: {size:.2g}{f' ({few})' if few else ''}"
        axes.text(float(np.nan_to_num(values[row])), row, text, va="center", fontsize=6.5,
                  color=theme.faint)  # fmt: skip
    omitted = len(report.changes) - len(sizes)
    also = f" ({omitted} of {len(report.changes)} omitted)" if omitted else ""
    axes.set_title(f"Along inputs of two values{also}")
    axes.set_xlabel(f"mean |change of y|  [{CHANGE.unit}]")
    axes.set_yticks(rows, [cut[name] for name, _ in sizes], color=theme.ink)
    axes.set_ylim(len(sizes) - 0.5, -0.5)
    axes.set_xlim(0, 1.5 * (float(np.nanmax(values, initial=0.0)) or 1.0))
    axes.tick_params(axis="y", length=0)


def _explain(axes: Axes, text: str, theme: Theme) -> None:
    """Words in the place of a picture."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=theme.faint, linespacing=1.6)
