"""An empty page that says when, of what and what is going on, and its margins."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from keras_curvature.figures.style import Picture, Theme
from keras_curvature.report.data import Report
from keras_curvature.report.text import moment, plain

HEADER = 1.18
"""Inches for the title, three lines of verdict and the titles of the panels below."""


def page(report: Report, which: str, size: tuple[float, float], theme: Theme) -> Picture:
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


def place(
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


def foot(figure: Figure, notes: list[str], theme: Theme) -> None:
    """Small print at the lower edge."""
    width, height = figure.get_size_inches()
    figure.text(0.12 / width, 0.08 / height, " · ".join(notes), fontsize=8, color=theme.faint)
