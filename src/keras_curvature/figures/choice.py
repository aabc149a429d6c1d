"""Which picture suits what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from keras_curvature.figures import (
    examples,
    image_or_sequence,
    many_inputs,
    one_input,
    scale_profile,
    two_inputs,
)
from keras_curvature.figures.plane_maps import plane_maps
from keras_curvature.figures.style import THEMES, Picture, Theme, styled
from keras_curvature.measurement.example_shape import is_grid
from keras_curvature.measurement.examples import Example
from keras_curvature.measurement.plane_maps import PlaneMap
from keras_curvature.measurement.results import ExactMeasurement, Measurement
from keras_curvature.report.data import Report, ScaleProfile


def draw(
    measurement: ExactMeasurement,
    report: Report,
    *,
    output_index: int = 0,
    theme: str = "light",
) -> Picture:
    """Draws the function and how it bends, as suits its number of inputs.

    One input: function, slope and curvature against `x`. Two: maps over the plane. More:
    mean |second derivative| of each feature, and mean |Hessian| of each pair, in standard
    deviations and over all outputs; of an image or a sequence, of each of its places.

    Args:
        measurement: in units of the data.
        report: what was found in it.
        output_index: which column of a vector output is drawn against one or two inputs.
        theme: of the page it will stand on, one of `THEMES`.

    Returns:
        A figure that pyplot knows nothing of: it is freed like any other object.
    """
    palette = _palette(theme)
    inputs = measurement.x.shape[1]
    with styled(palette):
        if is_grid(measurement.example_shape):
            return image_or_sequence.places(measurement, report, palette)
        if inputs == 1:
            return one_input.curves(measurement, report, output_index, palette)
        if inputs == 2:
            return two_inputs.maps(measurement, report, output_index, palette)
        return many_inputs.features(measurement, report, palette)


def draw_distances(
    measurement: Measurement,
    report: Report,
    history: Sequence[tuple[int, ScaleProfile]],
    *,
    theme: str = "light",
) -> Picture:
    """Draws the curvature against the distance over which it is taken, for some of the steps.

    Args:
        measurement: in units of the data, of the last step.
        report: what was found in it.
        history: steps and their scale profiles, at least one.
        theme: of the page it will stand on, one of `THEMES`.

    Returns:
        A figure that pyplot knows nothing of.
    """
    palette = _palette(theme)
    with styled(palette):
        return scale_profile.against_distance(measurement, report, history, palette)


def draw_examples(
    examples_of: Sequence[Example],
    report: Report,
    *,
    names: Sequence[Sequence[str]] | None = None,
    theme: str = "light",
) -> Picture:
    """Draws a few examples of many inputs, and where in each of them the function bends.

    Images and heat maps of them, time series, or words, as the examples are.

    Args:
        examples_of: of the examples, at least one.
        report: what was found in the probe.
        names: of the tokens of each example, or of the channels or inputs, the same for each.
        theme: of the page it will stand on, one of `THEMES`.

    Returns:
        A figure that pyplot knows nothing of.
    """
    palette = _palette(theme)
    with styled(palette):
        return examples.examples(examples_of, report, names, palette)


def draw_maps(maps: Sequence[PlaneMap], report: Report, *, theme: str = "light") -> Picture:
    """Draws functions of the user's over the planes of two inputs.

    Args:
        maps: what they give, at least one.
        report: what was found in the probe.
        theme: of the page it will stand on, one of `THEMES`.

    Returns:
        A figure that pyplot knows nothing of.
    """
    palette = _palette(theme)
    with styled(palette):
        return plane_maps(maps, report, palette)


def _palette(theme: str) -> Theme:
    if theme not in THEMES:
        raise ValueError(f"`theme` must be one of {list(THEMES)}. Received: {theme!r}.")
    return THEMES[theme]
