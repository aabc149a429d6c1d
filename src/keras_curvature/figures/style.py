"""How pictures look: colours, fonts, and how they become pixels."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

DPI = 125


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
    # Opaque and a little grey: no ink has enough contrast with a white and a dark page at once.
    "card": Theme(
        page="#e8eaed",
        ink="#1f2328",
        faint="#4d545c",
        grid="#cdd2d8",
        exact="#0065a0",
        scale="#b84f00",
        target="#858c95",
        negative="#2166ac",
        zero="#f4f5f6",
        positive="#b2182b",
    ),
}
"""For pages of one kind, and `"card"` for those that may be either: its ground is its own."""


class Picture(Figure):
    """A figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        return to_png(self)


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, 1000 to 1200 pixels wide."""
    file = io.BytesIO()
    # Opaque, so that little compression, which is fast, makes it as small.
    Image.fromarray(to_rgba(figure)).convert("RGB").save(file, "png", compress_level=1)
    return file.getvalue()


def to_rgba(figure: Figure) -> NDArray[np.uint8]:
    """The figure's pixels, shape `(height, width, 4)`."""
    with styled(None):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)


@contextlib.contextmanager
def styled(palette: Theme | None) -> Iterator[None]:
    """Matplotlib's defaults and ours, whatever the user's settings are; restored after."""
    style: dict[str, Any] = {
        "text.parse_math": False,  # a name may hold a dollar sign
        "text.hinting": "none",  # to fit letters to pixels takes a fifth of the time
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titley": 1.0,  # finding a free place for titles takes a third of the time
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.formatter.limits": (-3, 4),  # beyond, a power of ten beside the axis: short ticks
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
