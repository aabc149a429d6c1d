"""Pictures of a function and how it bends."""

from __future__ import annotations

import contextlib
import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from keras_curvature.meanings import (
    CURVATURE,
    IN_DEVIATIONS,
    MOST_FEATURES,
    moment,
    plain,
)
from keras_curvature.measurement import Array, Measurement, Report

Mask = NDArray[np.bool_]

DPI = 125
HEADER = 1.18
"""Inches for the title, three lines of verdict and the titles of the panels below."""

HUGE = 1e100
"""Beyond it a number is drawn as missing: the arithmetic of axes would overflow."""

MOST_MAP_POINTS = 2000
"""Points in a map, evenly taken: more cost time and show nothing else."""

MOST_ANNOTATED = 12
"""Rows of a heat map up to which its numbers are written into it."""

FLAT = 0.02
"""Least half-height of an axis in standard deviations, so that what is flat looks flat."""


@dataclass(frozen=True)
class Theme:
    """Colours; told apart by the colour-blind too (Okabe and Ito, 2008)."""

    page: str
    ink: str
    faint: str
    grid: str
    exact: str
    scale: str
    target: str
    negative: str
    zero: str
    positive: str

    @property
    def diverging(self) -> Colormap:
        """For numbers of either sign: 0 is the colour of the page."""
        return self._map([self.negative, self.zero, self.positive])

    @property
    def rising(self) -> Colormap:
        """For numbers from 0 on."""
        return self._map([self.zero, self.exact])

    def _map(self, colours: list[str]) -> Colormap:
        smooth = LinearSegmentedColormap.from_list("curvature", colours)
        return smooth.with_extremes(bad=self.grid)


THEMES: dict[str, Theme] = {
    "light": Theme(
        page="#ffffff",
        ink="#1f2328",
        faint="#656d76",
        grid="#e3e6ea",
        exact="#0072b2",
        scale="#d55e00",
        target="#9aa1a9",
        negative="#2166ac",
        zero="#f7f7f7",
        positive="#b2182b",
    ),
    "dark": Theme(
        page="#1e1f22",
        ink="#e8eaed",
        faint="#a5abb3",
        grid="#3a3d42",
        exact="#56b4e9",
        scale="#ff9e4a",
        target="#7d848d",
        negative="#5aa9e6",
        zero="#2b2d31",
        positive="#ff7a66",
    ),
}


class Picture(Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        return to_png(self)


@dataclass(frozen=True)
class _View:
    """One output of a measurement, ready to be drawn: what is not a number is NaN."""

    x: Array
    value: Array
    slope: Array
    exact: Array
    at_scale: Array
    inside: Mask
    target: Array | None
    known: Array | None


def draw(
    measurement: Measurement,
    report: Report,
    *,
    output_index: int = 0,
    theme: str = "light",
) -> Picture:
    """Draws the function and how it bends, as suits its number of inputs.

    One input: function, slope and curvature against `x`. Two: maps over the plane. More:
    mean |second derivative| of each feature, and mean |Hessian| of each pair, in standard
    deviations and over all outputs.

    Args:
        measurement: in units of the data.
        report: what was found in it.
        output_index: which column of a vector output is drawn against one or two inputs.
        theme: of the page it will stand on, `"light"` or `"dark"`.

    Returns:
        A figure that pyplot knows nothing of: it is freed like any other object.
    """
    if theme not in THEMES:
        raise ValueError(f"`theme` must be 'light' or 'dark'. Received: {theme!r}.")
    palette = THEMES[theme]
    inputs = measurement.x.shape[1]
    with _styled(palette):
        if inputs == 1:
            return _curves(measurement, report, output_index, palette)
        if inputs == 2:
            return _maps(measurement, report, output_index, palette)
        return _features(measurement, report, palette)


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, 1000 to 1200 pixels wide."""
    file = io.BytesIO()
    with _styled(None):
        FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def to_rgba(figure: Figure) -> NDArray[np.uint8]:
    """The figure's pixels, shape `(height, width, 4)`."""
    with _styled(None):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)


@contextlib.contextmanager
def _styled(palette: Theme | None) -> Iterator[None]:
    """Matplotlib's defaults and ours, whatever the user's settings are; restored after."""
    style: dict[str, Any] = {
        "text.parse_math": False,  # a name may hold a dollar sign
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titley": 1.0,  # finding a free place for titles takes a third of the time
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "legend.handletextpad": 0.5,
        "legend.columnspacing": 1.4,
        "lines.solid_capstyle": "round",
        "figure.dpi": DPI,
    }
    if palette is not None:
        inked = ("text.color", "axes.titlecolor", "legend.labelcolor")
        fainter = ("axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
        paper = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
        style |= dict.fromkeys(inked, palette.ink) | dict.fromkeys(fainter, palette.faint)
        style |= dict.fromkeys(paper, palette.page) | {"grid.color": palette.grid}
    with matplotlib.style.context(["default", style]), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


# One input


def _curves(m: Measurement, report: Report, column: int, theme: Theme) -> Picture:
    """Function, slope and curvature above one another, against the input."""
    view = _view(m, column, np.argsort(m.x[:, 0], kind="stable"))
    x = view.x[:, 0]
    figure = _page(report, _which(m, column), (8.0, 7.6), theme)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1, 1.4))
    _place(figure, left=0.75, right=0.2, bottom=0.72, hspace=0.34)
    for panel, title, unit in zip(
        panels,
        ("Function", "Slope ∂y/∂x", "Curvature ∂²y/∂x²"),
        ("y", "y per x", "y per x²"),
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
    _both_curvatures(curvature, x, view, float(m.scale[0]), theme)
    name = plain(m.feature_names[0], 60)
    curvature.set_xlabel(name if name == "x" else f"{name}  [x]")

    # Set, because what is not a number does not count for the limits, not even its x.
    low, high = _range(x, FLAT * float(m.input_spread[0]))
    curvature.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    outside = _frame(function, [view.value, view.target], _flat(m, column, 0))
    outside += _frame(slope, [view.slope], _flat(m, column, 1))
    outside += _frame(curvature, [[0.0], view.exact, view.at_scale, view.known],
                      _flat(m, column, 2))  # fmt: skip
    for panel in panels:
        panel.legend(loc="lower right", bbox_to_anchor=(1.01, 0.985), ncols=3)
    notes = [f"{outside} points lie beyond the axes"] if outside else []
    if not view.inside.all():
        notes.append("fainter where x ± h leaves the probe’s range")
    _foot(figure, [*_counts(m, view), *notes], theme)
    return figure


def _both_curvatures(axes: Axes, x: Array, view: _View, h: float, theme: Theme) -> None:
    """Exact and at the scale; the latter is noise point by point where there are kinks."""
    exact, at_scale, inside = view.exact[:, 0], view.at_scale[:, 0], view.inside[:, 0]
    dots: dict[str, Any] = {"marker": ".", "ls": "", "ms": 4, "mew": 0, "color": theme.scale}
    used = inside & np.isfinite(at_scale) & np.isfinite(x)
    axes.plot(x[~inside], at_scale[~inside], alpha=0.18, **dots)
    axes.plot(x[used], at_scale[used], alpha=0.5, **dots)
    label = f"over ± {h:.3g}, mean {_mean(at_scale[used])}"
    smooth = _running_mean(x[used], at_scale[used], h / 2)
    axes.plot(x[used], smooth, color=theme.scale, lw=3.4, alpha=0.75, label=label)
    _line(axes, x, exact, theme.exact, f"exact, mean {_mean(exact)}")
    if view.known is not None:
        known = view.known[:, 0]
        axes.plot(x, known, "--", color=theme.ink, lw=1.3, label="known")


def _line(axes: Axes, x: Array, y: Array, colour: str, label: str) -> None:
    # One point makes no line, and neither does one between two that are missing.
    marker = "o" if np.isfinite(y).sum() < 60 else None
    axes.plot(x, y, color=colour, lw=1.7, marker=marker, ms=3, label=label)


def _running_mean(x: Array, y: Array, half: float) -> Array:
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


# Two inputs


def _maps(m: Measurement, report: Report, column: int, theme: Theme) -> Picture:
    """Function and Laplacian, exact and at the scale, over the plane of the inputs."""
    n = len(m.x)
    view = _view(m, column, np.unique(np.linspace(0, n - 1, min(n, MOST_MAP_POINTS)).astype(int)))
    figure = _page(report, _which(m, column), (9.2, 5.2), theme)
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    _place(figure, left=0.75, right=0.2, bottom=1.5, wspace=0.12)

    exact = view.exact.sum(axis=1)
    at_scale = np.where(view.inside.all(axis=1), view.at_scale.sum(axis=1), np.nan)
    height = _limit([exact, at_scale], _flat(m, column, 2))
    signed = Normalize(-height, height)
    plain_norm = Normalize(*_range(view.value, _flat(m, column, 0)))
    mesh = view.x / m.input_spread
    rows = (
        ("Function", view.value, "viridis", plain_norm),
        (f"Laplacian, exact: mean {_mean(exact)}", exact, theme.diverging, signed),
        (f"Laplacian over ± h: mean {_mean(at_scale)}", at_scale, theme.diverging, signed),
    )
    painted = []
    for panel, (title, values, colours, norm) in zip(axes, rows, strict=True):
        panel.set_title(title)
        panel.set_xlabel(plain(m.feature_names[0], 30))
        painted.append(_map(panel, view.x, mesh, values, colours, norm, theme))
    axes[0].set_ylabel(plain(m.feature_names[1], 30))
    _colour_bar(figure, painted[0], axes[:1], "y")
    _colour_bar(figure, painted[1], axes[1:], "∂²y/∂x₁² + ∂²y/∂x₂²  [y per x²]")
    h = ", ".join(f"{s:.3g}" for s in m.scale)
    notes = [f"h = {h}"]
    if not view.inside.all():
        notes.append("no colour where x ± h leaves the probe’s range")
    _foot(figure, [*_counts(m, view), *notes], theme)
    return figure


def _map(
    axes: Axes,
    points: Array,
    mesh: Array,
    values: Array,
    colours: Any,
    norm: Normalize,
    theme: Theme,
) -> Any:
    there = np.isfinite(values) & np.isfinite(points).all(axis=1)
    x, y = points[there].T
    triangles = _triangles(mesh[there])
    if triangles is not None:
        axes.tricontourf(
            Triangulation(x, y, triangles),
            values[there],
            levels=np.linspace(norm.vmin or 0.0, norm.vmax or 0.0, 22),
            cmap=colours,
            norm=norm,
            extend="both",
        )
    lost_x, lost_y = points[~there].T
    axes.scatter(lost_x, lost_y, marker="x", s=8, lw=0.5, color=theme.faint)
    return axes.scatter(
        x, y, c=values[there], cmap=colours, norm=norm, s=11, lw=0.3, edgecolors=theme.ink
    )


def _triangles(points: Array) -> NDArray[np.integer] | None:
    """Delaunay's, `(triangles, 3)`; `None` where points are too few or on one line."""
    try:
        return Triangulation(*points.T).triangles
    except (RuntimeError, ValueError):
        return None


def _colour_bar(figure: Figure, painted: Any, above: Sequence[Axes], label: str) -> None:
    left = above[0].get_position().x0
    box = above[-1].get_position()
    inch = 1 / figure.get_figheight()
    place = (left, box.y0 - 0.62 * inch, box.x1 - left, 0.11 * inch)
    bar = figure.colorbar(painted, cax=figure.add_axes(place), orientation="horizontal")
    bar.set_label(label)
    bar.outline.set_visible(False)


# More inputs


def _features(m: Measurement, report: Report, theme: Theme) -> Picture:
    """Curvature along each input as bars, and of each pair of inputs as a heat map."""
    exact = np.array([report.features.get(name, np.nan) for name in m.feature_names])
    exact, at_scale = _drawable(exact), _scale_of_features(m)
    pairs = None if report.interactions is None else _drawable(report.interactions)
    order = _most_curved(exact, at_scale, pairs)
    names = [plain(m.feature_names[i], 20) for i in order]
    longest = 0.075 * max(len(name) for name in names)  # inches, about
    below = max(1.15, 0.35 + longest)
    rows = len(order)
    figure = _page(report, "", (9.2, HEADER + max(2.4, 0.27 * rows) + below), theme)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _place(figure, left=longest + 0.3, right=0.95, bottom=below, wspace=0.09)
    _bars(figure, left, names, exact[order], at_scale[order], theme)
    omitted = len(exact) - rows
    if omitted:
        left.set_title(f"Along each input ({omitted} of {len(exact)} omitted)")
    right.set_title("Of each pair of inputs")
    if pairs is None:
        words = (
            f"That needs the whole Hessian.\nWith {len(exact)} inputs only its diagonal was taken."
        )
        _explain(right, words, theme)
    elif not np.isfinite(pairs).any():
        _explain(right, "No entry of the exact Hessian is finite.", theme)
    elif not np.nansum(pairs):
        kinks = "All curvature sits in kinks: see the bars." if np.nansum(at_scale) else ""
        _explain(right, f"Every entry of the exact Hessian is 0.\n{kinks}", theme)
    else:
        _heat_map(figure, right, names, pairs[np.ix_(order, order)], theme)
    outputs = m.value.shape[1]
    notes = [f"mean over {outputs} outputs"] if outputs > 1 else []
    _foot(figure, [*_counts(m, _view(m, 0)), *notes], theme)
    return figure


def _scale_of_features(m: Measurement) -> Array:
    """Mean |curvature at the scale| along each input in standard deviations, `(d,)`."""
    with np.errstate(all="ignore"):
        values = _drawable(m.scale_diagonal * m.input_spread**2 / m.output_spread[:, None])
    used = m.inside[:, None, :] & np.isfinite(values)
    count = used.sum(axis=(0, 1))
    total = np.where(used, np.abs(values), 0.0).sum(axis=(0, 1))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _most_curved(exact: Array, at_scale: Array, pairs: Array | None) -> NDArray[np.integer]:
    """Which inputs are shown, most curved first; one that only interacts is shown too."""
    bar = np.fmax(np.nan_to_num(exact), np.nan_to_num(at_scale))
    reach = bar if pairs is None else np.fmax(bar, np.nan_to_num(pairs).max(axis=1))
    shown = np.argsort(-reach, kind="stable")[:MOST_FEATURES]
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
    top = float(np.nanmax(pairs))
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


def _explain(axes: Axes, text: str, theme: Theme) -> None:
    """Words in the place of a picture."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=theme.faint, linespacing=1.6)


# All


def _page(report: Report, which: str, size: tuple[float, float], theme: Theme) -> Picture:
    """An empty picture that says when, of what, and what is going on."""
    figure = Picture(figsize=size)
    height, width = size[1], size[0]
    name = f" · output {plain(report.output, 40)}" if report.output else ""
    title = f"{moment(report.step).capitalize()}{name}{which}"
    lines = textwrap.wrap(
        plain(report.verdict.sentence), int(13.6 * width), max_lines=3, placeholder=" …"
    )
    left = 0.12 / width
    figure.text(left, 1 - 0.1 / height, title, va="top", weight="bold", fontsize=12)
    figure.text(left, 1 - 0.36 / height, "\n".join(lines), va="top", linespacing=1.35)
    return figure


def _place(
    figure: Figure,
    *,
    left: float,
    right: float,
    bottom: float,
    wspace: float | None = None,
    hspace: float | None = None,
) -> None:
    """Margins in inches: a layout engine would take longer than the whole drawing."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - HEADER / height, wspace, hspace
    )


def _foot(figure: Figure, notes: list[str], theme: Theme) -> None:
    width, height = figure.get_size_inches()
    figure.text(0.12 / width, 0.08 / height, " · ".join(notes), fontsize=8, color=theme.faint)


def _counts(m: Measurement, view: _View) -> list[str]:
    """How many points there are, and how many of them cannot be drawn."""
    n = len(m.x)
    lost = n - int(np.sum(np.isfinite(m.diagonal).all(axis=(1, 2))))
    shown = len(view.x)
    notes = [f"{n} point{'s' if n != 1 else ''}" + (f", {shown} shown" if shown < n else "")]
    return notes + ([f"{lost} with a second derivative that is not finite"] if lost else [])


def _which(m: Measurement, column: int) -> str:
    outputs = m.value.shape[1]
    return f" · component {column} of {outputs}" if outputs > 1 else ""


def _view(m: Measurement, column: int, rows: Any = slice(None)) -> _View:
    return _View(
        x=_drawable(m.x[rows]),
        value=_drawable(m.value[rows, column]),
        slope=_drawable(m.jacobian[rows, column]),
        exact=_drawable(m.diagonal[rows, column]),
        at_scale=_drawable(m.scale_diagonal[rows, column]),
        inside=m.inside[rows],
        target=None if m.target is None else _drawable(m.target[rows, column]),
        known=None if m.reference is None else _drawable(m.reference[rows, column]),
    )


def _drawable(values: Array) -> Array:
    return np.where(np.abs(values) < HUGE, values, np.nan)


def _flat(m: Measurement, column: int, order: int) -> float:
    """Least half-height of an axis of the `order`-th derivative."""
    return float(FLAT * m.output_spread[column] / m.input_spread.min() ** order)


def _limit(series: Sequence[Array], least: float) -> float:
    """Where the colours of a signed map end: nearly at its largest magnitude."""
    values = np.abs(np.concatenate(series))
    values = values[np.isfinite(values)]
    return max(float(np.percentile(values, 98)) if values.size else 0.0, least)


def _range(values: Array, least: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    half = max((high - low) / 2, least)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _mean(values: Array) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.3g}" if finite.size else "–"
