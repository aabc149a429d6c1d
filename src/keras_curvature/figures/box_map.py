"""Where in a box a claim is proved, refuted and open: along one input, or over two."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from keras_curvature.figures.page import foot
from keras_curvature.figures.style import THEMES, Picture, Theme, styled
from keras_curvature.figures.view import drawable
from keras_curvature.report.box_map import BoxMap
from keras_curvature.report.text import plain
from keras_curvature.typing import Array

ABREAST, HEIGHT = 3, 3.3
"""Panels side by side; the height of each, in inches."""

TOP = 0.55
"""Inches for the title of the page and a line below it."""

LINE = 0.185
"""Inches of a line of a panel's title: the verdict, the claim, the shares, and the slice."""

BETWEEN = 0.75
"""Inches between a panel and the title of the next below it: its ticks and its label."""

LETTERS = 50
"""Of a line of a panel's title."""

SLICED = (
    "A map is a slice of the box, the other inputs held: it may be proved where the box around it "
    "is open. Shares are of the whole box's volume."
)

SMALL = 0.15
"""Inches of a line of small print."""


def draw_box_maps(maps: Sequence[BoxMap], title: str, box: str, *, theme: str = "light") -> Picture:
    """Draws what was proved of each claim.

    Args:
        maps: at least one.
        title: of the page, or `""`.
        box: which it was, in words.
        theme: of the page it will stand on, one of `THEMES`.

    Returns:
        A figure that pyplot knows nothing of.

    Raises:
        ValueError: for an unknown theme.
    """
    if theme not in THEMES:
        raise ValueError(f"`theme` must be one of {list(THEMES)}. Received: {theme!r}.")
    palette = THEMES[theme]
    with styled(palette):
        columns = min(len(maps), ABREAST)
        rows = -(-len(maps) // columns)
        width = max(5.2, 3.9 * columns)
        lines = 4 if any(one.held for one in maps) else 3
        note = textwrap.wrap(SLICED, int(14 * width)) if lines == 4 else []
        head, low = lines * LINE + 0.12, 0.85 + SMALL * len(note)
        top = TOP if title else TOP - 0.22
        height = top + rows * (head + HEIGHT) + (rows - 1) * BETWEEN + low
        figure = Picture(figsize=(width, height))
        left, y = 0.12 / width, 1 - 0.1 / height
        if title:
            figure.text(left, y, plain(title), va="top", weight="bold", fontsize=12)
            y -= 0.24 / height
        figure.text(left, y, plain(box, int(13 * width)), va="top", color=palette.faint)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        figure.subplots_adjust(
            0.72 / width, low / height, 1 - 0.2 / width, 1 - (top + head) / height,
            0.32, (head + BETWEEN) / HEIGHT,
        )  # fmt: skip
        for panel, one in zip(axes, maps, strict=False):
            _titled(panel, one, palette, lines)
            (_curve if len(one.names) == 1 else _plane)(panel, one, palette)
        for panel in axes[len(maps) :]:
            panel.set_axis_off()
        _legend(figure, maps, palette, 0.14 + SMALL * len(note))
        foot(figure, ["\n".join(note)], palette)
    return figure


def _colour(state: int, theme: Theme) -> str:
    return {1: theme.exact, 0: theme.target, -1: theme.scale}[state]


def _titled(axes: Axes, one: BoxMap, theme: Theme, lines: int) -> None:
    """The verdict, what it is on, the shares of the volume of the whole box, and which slice."""
    state = {"Proved": 1, "Open": 0}.get(one.verdict, -1)
    claim = textwrap.wrap(plain(one.claim), LETTERS - 6, max_lines=1, placeholder=" …")[0]
    said = [(one.verdict, _ink(state, theme), "bold"), (claim, theme.ink, "bold")]
    said.append((plain(one.shares, LETTERS), theme.faint, "normal"))
    if one.held:
        said.append((plain(f"slice at {one.held}", LETTERS), theme.faint, "normal"))
    for i, (text, colour, weight) in enumerate(said):
        axes.annotate(
            text, (0, 1), (0, 72 * (LINE * (lines - 1 - i) + 0.06)), xycoords="axes fraction",
            textcoords="offset points", color=colour, weight=weight, va="bottom",
        )  # fmt: skip


def _ink(state: int, theme: Theme) -> str:
    return theme.faint if state == 0 else _colour(state, theme)


def _curve(axes: Axes, one: BoxMap, theme: Theme) -> None:
    """Bounds of the derivative, box by box, in the colour of what is known there."""
    low, high = (corner[:, 0] for corner in one.corners)
    lower, upper = drawable(one.bounds)
    seen = np.concatenate([lower, upper])
    seen = seen[np.isfinite(seen)]
    ends = [*seen.tolist(), one.limit]
    bottom, top = min(ends), max(ends)
    room = 0.06 * (top - bottom) or 1.0
    lower = np.where(np.isnan(lower), bottom - room, lower)
    upper = np.where(np.isnan(upper), top + room, upper)
    for state in (1, 0, -1):
        rows = one.states == state
        least = (top - bottom) / 150  # seen where the bounds are close
        thin = np.maximum(0, least - (upper - lower)[rows]) / 2
        corners = [low[rows], high[rows], lower[rows] - thin, upper[rows] + thin]
        _rectangles(axes, corners, _colour(state, theme))
        for a, b in zip(low[rows], high[rows], strict=True):
            axes.axvspan(a, b, ymax=0.025, color=_colour(state, theme), lw=0)
    axes.axhline(one.limit, color=theme.ink, lw=0.9)
    if one.worst is not None:
        axes.axvline(one.worst[0], color=theme.ink, lw=0.9, ls=(0, (2, 2)))
    axes.set_xlim(one.low[0], one.high[0])
    axes.set_ylim(bottom - room, top + room)
    axes.set_xlabel(plain(one.names[0], 30))
    axes.set_ylabel(plain(one.derivative, 44))
    axes.yaxis.get_offset_text().set(x=-0.02, ha="right")  # not on the title
    axes.grid(axis="y")


def _plane(axes: Axes, one: BoxMap, theme: Theme) -> None:
    """The boxes in the plane."""
    (x0, y0), (x1, y1) = (corner.T for corner in one.corners)
    for state in (1, 0, -1):
        rows = one.states == state
        _rectangles(axes, [x0[rows], x1[rows], y0[rows], y1[rows]], _colour(state, theme))
    if one.worst is not None:
        axes.plot(*one.worst, "x", color=theme.ink, ms=8, mew=1.8, clip_on=False, zorder=5)
    axes.set_xlim(one.low[0], one.high[0])
    axes.set_ylim(one.low[1], one.high[1])
    axes.set_xlabel(plain(one.names[0], 30))
    axes.set_ylabel(plain(one.names[1], 30))


def _rectangles(axes: Axes, sides: list[Array], colour: str) -> None:
    """Rectangles from left to right and from bottom to top, without a seam between them."""
    left, right, bottom, top = sides
    corners = np.stack([[left, left, right, right], [bottom, top, top, bottom]], axis=-1)
    axes.add_collection(
        PolyCollection(
            list(np.swapaxes(corners, 0, 1)), facecolor=colour, edgecolor=colour, lw=0.25,
        ),
        autolim=False,
    )  # fmt: skip


def _legend(figure: Picture, maps: Sequence[BoxMap], theme: Theme, bottom: float) -> None:
    states = {int(state) for one in maps for state in np.unique(one.states)}
    words = {1: "proved", 0: "open", -1: "refuted"}
    handles = [Patch(color=_colour(s, theme), label=words[s]) for s in (1, 0, -1) if s in states]
    if any(one.worst is not None for one in maps):
        curved = len(maps[0].names) == 1
        style = {"ls": (0, (2, 2)), "lw": 0.9} if curved else {"ls": "", "marker": "x", "mew": 1.8}
        handles.append(Line2D([], [], color=theme.ink, label="worst point", **style))  # type: ignore[arg-type]
    width, height = figure.get_size_inches()
    figure.legend(
        handles=handles, loc="lower left", ncols=4, bbox_to_anchor=(0.12 / width, bottom / height),
        borderaxespad=0, borderpad=0,
    )  # fmt: skip
