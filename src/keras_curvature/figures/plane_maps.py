"""Functions of the user's, as maps over the plane of two inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize

from keras_curvature.figures.page import HEADER, foot, page, place
from keras_curvature.figures.style import Picture, Theme
from keras_curvature.figures.view import beyond_colours, drawable, limit
from keras_curvature.measurement.plane_maps import PlaneMap
from keras_curvature.report.data import Report
from keras_curvature.report.text import plain

ABREAST, HEIGHT, GAP = 3, 2.6, 0.85
"""Maps side by side; the height of each, and what is between two rows, in inches."""


def plane_maps(maps: Sequence[PlaneMap], report: Report, theme: Theme) -> Picture:
    """Each function on a scale of colours of its own, 0 in the colour of the page."""
    columns = min(len(maps), ABREAST)
    rows = -(-len(maps) // columns)
    height = HEADER + HEIGHT * rows + GAP * (rows - 1) + 0.75
    figure = page(report, "", (9.2, height), theme)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    place(figure, left=0.75, right=0.8, bottom=0.75, wspace=0.4, hspace=GAP / HEIGHT)
    notes = []
    for panel, one in zip(axes, maps, strict=False):
        values = drawable(one.values)
        size = limit([values.ravel()], 0.0) or 1.0
        beyond = int(np.sum(np.abs(values) > size))
        (left, right), (low, high) = ((axis[0], axis[-1]) for axis in one.axes)
        image = panel.imshow(
            values, cmap=theme.diverging, norm=Normalize(-size, size), origin="lower",
            extent=(left, right, low, high), aspect="auto",
        )  # fmt: skip
        panel.set_title(plain(one.name, 34))
        panel.set_xlabel(plain(one.inputs[0], 30))
        panel.set_ylabel(plain(one.inputs[1], 30))
        bar = figure.colorbar(image, ax=panel, extend="both" if beyond else "neither")
        bar.outline.set_visible(False)
        held = plain(one.held, 100)
        notes += [held] if held and held not in notes else []
        notes += [f"{plain(one.name, 20)}: {beyond_colours(beyond, 'place')}"] if beyond else []
    for panel in axes[len(maps) :]:
        panel.set_axis_off()
    foot(figure, notes, theme)
    return figure
