"""Whether second derivatives along every input can be afforded, or random directions have to do."""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.api import Options, bind, warn_of_more_than_exact
from keras_curvature.engines.quantities import DIAGONAL
from keras_curvature.measurement import estimated
from keras_curvature.measurement import exact as measuring
from keras_curvature.measurement.base import Measurer
from keras_curvature.measurement.estimated import EstimatedMeasurer
from keras_curvature.measurement.exact import ExactMeasurer
from keras_curvature.measurement.probe import Names, Probe
from keras_curvature.typing import Model

EXACT_PASSES = 512
"""Forward passes over the probe up to which every input gets its second derivative.

Up to 64 inputs, where the whole Hessian is taken, the number of passes does not matter.
"""

ALL = "all"
"""`directions=` for every input."""


def checked_directions(directions: Any) -> int | str | None:
    """What `directions=` may be.

    Raises:
        TypeError: if it is none of these.
        ValueError: if it is less than 1.
    """
    if directions is None or directions == ALL:
        return directions
    expected = (
        "`directions` must be None (the monitor chooses), 'all' (exact second derivatives along "
        "every input), or an int of at least 1 (estimates)."
    )
    if isinstance(directions, bool) or not isinstance(directions, int):
        raise TypeError(f"{expected} Received: {directions!r}.")
    if directions < 1:
        raise ValueError(f"{expected} Received: {directions}.")
    return directions


def measurer_for(
    model: Model,
    probe: Probe,
    *,
    options: Options,
    directions: int | str | None,
    units: str,
    scale: Any,
    reference: Any,
    names: Names | None,
) -> Measurer:
    """Exact second derivatives where that is asked for or affordable, else estimates.

    Args:
        model: a built model.
        probe: where to measure.
        options: output, input, engine, dtype and chunks.
        directions: `None` to choose, `"all"`, or how many.
        units: of the numbers, `"raw"`, `"std"`, or `"auto"`: what suits the inputs.
        scale: as in `scale_curvature`.
        reference: known second derivatives; only exact ones can be compared with them.
        names: of the inputs.

    Raises:
        ValueError: for a reference and a number of directions; and as `ExactMeasurer`.
    """
    if isinstance(directions, int) and reference is not None:
        raise ValueError(
            "`reference` holds second derivatives along every input, which `directions` does not "
            f"take. Leave one of them out. Received: directions={directions}."
        )
    passes = 0 if directions is not None or reference is not None else _passes(
        model, probe, options
    )  # fmt: skip
    if isinstance(directions, int):
        why = "asked for"
    elif passes > EXACT_PASSES:
        directions = estimated.DIRECTIONS
        why = (
            f"second derivatives along every input would take about {passes:,} forward passes "
            f"over the probe, and are taken up to {EXACT_PASSES} (directions='all' takes them)"
        )
    else:
        return ExactMeasurer(
            model,
            probe,
            options=options,
            units=units,
            scale=scale,
            reference=reference,
            names=names,
        )
    measurer = EstimatedMeasurer(
        model,
        probe,
        options=options,
        directions=int(directions),
        why=why,
        units=units,
        scale=scale,
    )
    warn_of_more_than_exact(int(directions), measurer.f.inputs.width)
    return measurer


def _passes(model: Model, probe: Probe, options: Options) -> int:
    """Forward passes over the probe that exact second derivatives take, about."""
    bound = bind(model, probe.x, options, in_float64=False)
    d = bound.f.inputs.width
    if d <= measuring.FULL_HESSIAN_INPUTS:
        return 0
    engine = bound.engine_for((DIAGONAL,))
    exact = engine.directions(bound.f, (DIAGONAL,))
    if engine.repeats_examples:
        exact *= bound.f.outputs.width
    windows = min(probe.size, measuring.SCALE_POINTS) / probe.size
    return int(exact + 2 * d * windows)
