"""How a function of an image or a sequence bends at each of its places."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize

from keras_curvature.figures.page import HEADER, foot, page, place
from keras_curvature.figures.style import Picture, Theme
from keras_curvature.figures.view import counts, drawable, view_of
from keras_curvature.measurement.example_shape import axes_of, is_image, on_grid
from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.report.data import Report
from keras_curvature.report.metrics import CURVATURE, IN_DEVIATIONS


def places(m: ExactMeasurement, report: Report, theme: Theme) -> Picture:
    """The mean example, and the mean |second derivative| by place, exact and at the scale."""
    shape = m.example_shape or ()
    rows, columns = axes_of(shape)
    sizes = (report.features, m.scale_feature_curvature())
    exact, at_scale = (on_grid(drawable(np.array(list(size.values()))), shape) for size in sizes)
    top = float(np.nanmax(np.stack([exact, at_scale]), initial=0.0)) or 1.0
    height = float(np.clip(3.0 * exact.shape[0] / exact.shape[1], 1.0, 4.0))
    figure = page(report, "", (9.2, HEADER + height + 1.3), theme)
    aspect = "equal" if is_image(shape) else "auto"
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    place(figure, left=0.6, right=0.2, bottom=1.3, wspace=0.1)
    panels = (
        ("Mean of the probe", on_grid(m.x.mean(axis=0), shape), "gray", None),
        ("Exact", exact, theme.rising, Normalize(0, top)),
        ("Over ± h, kinks included", at_scale, theme.rising, Normalize(0, top)),
    )
    for panel, (title, values, colours, norm) in zip(axes, panels, strict=True):
        image = panel.imshow(values, cmap=colours, norm=norm, aspect=aspect)
        panel.set_title(title)
        panel.set_xlabel(columns)
        panel.spines[:].set_visible(False)
    axes[0].set_ylabel(rows)
    box, inch = axes[1].get_position(), 1 / figure.get_figheight()
    beside = (box.x0, 0.62 * inch, axes[2].get_position().x1 - box.x0, 0.11 * inch)
    bar = figure.colorbar(image, cax=figure.add_axes(beside), orientation="horizontal")
    bar.set_label(f"mean |∂²y/∂xᵢ²|  [{IN_DEVIATIONS[CURVATURE]}]")
    bar.outline.set_visible(False)
    outputs = m.value.shape[1]
    notes = [f"mean over {outputs} outputs"] if outputs > 1 else []
    if exact.size < len(m.feature_names):
        notes.append("sum over the channels")
    foot(figure, [*counts(m, view_of(m, 0)), *notes], theme)
    return figure
