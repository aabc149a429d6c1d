"""A function of two inputs and its Laplacian, as maps of the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from keras_curvature.figures.page import foot, page, place
from keras_curvature.figures.style import Picture, Theme
from keras_curvature.figures.view import (
    View,
    beyond_colours,
    counts,
    flat,
    limit,
    means_of,
    range_of,
    view_of,
    which,
)
from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.report.data import Report
from keras_curvature.report.metrics import MEANINGS
from keras_curvature.report.text import plain
from keras_curvature.typing import Array

MOST_POINTS = 2000
"""Points in a map, evenly taken: more cost time and show nothing else."""


def maps(m: ExactMeasurement, report: Report, column: int, theme: Theme) -> Picture:
    """Function and Laplacian, exact and at the scale, over the plane of the inputs.

    Where other inputs are held, the ground is coloured with them so, and the probe's points, which
    differ in these, are dots of their own colours.
    """
    n = len(m.x)
    rows = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(int))
    # A sum along two inputs means something in the units of the headline only.
    bent = m.in_units(report.units)
    view = view_of(m, column, rows)
    figure = page(report, which(m, column), (9.2, 5.2), theme)
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    place(figure, left=0.75, right=0.2, bottom=1.5, wspace=0.12)

    value, (exact, at_scale) = view.value, _laplacians(view_of(bent, column, rows))
    ground, below = view, (value, exact, at_scale)
    if m.held is not None and bent.held is not None:
        ground = view_of(m.held, column)
        below = (ground.value, *_laplacians(view_of(bent.held, column)))
    height = limit([exact, at_scale, *below[1:]], flat(bent, column, 2))
    signed = Normalize(-height, height)
    means = means_of(bent, column)
    plain_norm = Normalize(*range_of(np.concatenate([value, below[0]]), flat(m, column, 0)))
    maps = (
        ("Function", value, "viridis", plain_norm),
        (f"Laplacian, exact: mean {means[0]}", exact, theme.diverging, signed),
        (f"Laplacian over ± h: mean {means[1]}", at_scale, theme.diverging, signed),
    )
    painted = []
    for panel, (title, values, colours, norm), under in zip(axes, maps, below, strict=True):
        panel.set_title(title)
        panel.set_xlabel(plain(m.feature_names[0], 30))
        is_filled = _fill(panel, ground.x, under, m.input_spread, colours, norm)
        # Of the colours of the ground they hide nothing of it; of their own they are to be seen.
        dots: dict[str, Any] = {"s": 11, "lw": 0.3, "edgecolors": theme.ink}
        if is_filled and ground is view:
            dots = {"s": 3, "lw": 0.2, "edgecolors": theme.faint}
        dots |= {"cmap": colours, "norm": norm}
        painted.append(_dots(panel, view.x, values, theme, **dots))
    axes[0].set_ylabel(plain(m.feature_names[1], 30))
    _colour_bar(figure, painted[0], axes[:1], "y")
    beyond = int(np.sum(np.abs([exact, at_scale]) > height))
    label = f"{_second(m.feature_names[0])} + {_second(m.feature_names[1])}"
    label += f"  [{MEANINGS['mean'].unit_in(report.units)}]"
    _colour_bar(figure, painted[1], axes[1:], label, "both" if beyond else "neither")
    h = ", ".join(f"{s:.3g}" for s in m.scale)
    notes = [f"h = {h}", *([beyond_colours(beyond, "value")] if beyond else [])]
    if m.held is not None:
        notes.append("the ground: with the other inputs held")
    if not view.inside.all():
        notes.append("no colour where x ± h leaves the probe’s range")
    foot(figure, [*counts(m, view), *notes], theme)
    return figure


def _laplacians(view: View) -> tuple[Array, Array]:
    """Exact and at the scale, at each point."""
    inside = view.inside.all(axis=1)
    at_scale = np.where(inside, view.at_scale.sum(axis=1), np.nan)
    return view.exact.sum(axis=1), at_scale


def _fill(
    axes: Axes, points: Array, values: Array, spread: Array, colours: Any, norm: Normalize
) -> bool:
    """Colours the space between points, if there is any; whether there is."""
    there = np.isfinite(values) & np.isfinite(points).all(axis=1)
    triangles = _triangles(points[there] / spread)
    x, y = points[there].T
    if triangles is not None:
        axes.tricontourf(
            Triangulation(x, y, triangles),
            values[there],
            levels=np.linspace(norm.vmin or 0.0, norm.vmax or 0.0, 22),
            cmap=colours,
            norm=norm,
            extend="both",
        )
    return triangles is not None


def _dots(axes: Axes, points: Array, values: Array, theme: Theme, **style: Any) -> Any:
    """Coloured where there is a number, crosses where there is none."""
    there = np.isfinite(values) & np.isfinite(points).all(axis=1)
    lost_x, lost_y = points[~there].T
    axes.scatter(lost_x, lost_y, marker="x", s=8, lw=0.5, color=theme.faint)
    x, y = points[there].T
    return axes.scatter(x, y, c=values[there], **style)


def _triangles(points: Array) -> NDArray[np.integer] | None:
    """Delaunay's, `(triangles, 3)`; `None` where points are too few or on one line."""
    try:
        return Triangulation(*points.T).triangles
    except (RuntimeError, ValueError):
        return None


def _second(name: str) -> str:
    """The second derivative along an input."""
    short = plain(name, 20)
    return f"∂²y/∂{short}²" if short.isidentifier() else f"∂²y/∂({short})²"


def _colour_bar(
    figure: Figure, painted: Any, above: Sequence[Axes], label: str, extend: str = "neither"
) -> None:
    left = above[0].get_position().x0
    box = above[-1].get_position()
    inch = 1 / figure.get_figheight()
    place = (left, box.y0 - 0.62 * inch, box.x1 - left, 0.11 * inch)
    bar = figure.colorbar(
        painted, cax=figure.add_axes(place), orientation="horizontal", extend=extend
    )
    bar.set_label(label)
    bar.outline.set_visible(False)
