"""Measurements made by hand from functions whose derivatives are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.measurement.segment_slopes import Segments


def measurement(x: np.ndarray, hessians: np.ndarray, /, **changes: Any) -> ExactMeasurement:
    """A measurement of one output with the given Hessians, everything else plain.

    Args:
        x: points, `(n, d)`.
        hessians: `(n, d, d)`.
        **changes: other fields.
    """
    n, d = x.shape
    diagonal = np.einsum("nii->ni", hessians)[:, None]
    fields: dict[str, Any] = {
        "x": x,
        "value": np.zeros((n, 1)),
        "jacobian": np.ones((n, 1, d)),
        "diagonal": diagonal,
        "hessian": hessians[:, None],
        "scale": np.full(d, 0.1),
        "scale_diagonal": diagonal.copy(),
        "inside": np.ones((n, d), dtype=bool),
        "segments": segments(lambda t: 2.0 * t),
        "target": None,
        "reference": None,
        "feature_names": tuple(f"x{i}" for i in range(d)),
        "input_spread": np.ones(d),
        "output_spread": np.ones(1),
    }
    return ExactMeasurement(**(fields | changes))


def segments(
    smooth_slope: Callable[[Any], Any],
    slope: Callable[[Any], Any] | None = None,
) -> Segments:
    """The segment [0, 1] of a function of one input.

    Args:
        smooth_slope: an antiderivative of the exact second derivative.
        slope: the true slope, where kinks make it differ from `smooth_slope`.
    """
    knots = np.linspace(0.0, 1.0, 7)
    true = smooth_slope if slope is None else slope
    return Segments(
        lengths=np.ones(1),
        standard_lengths=np.ones(1),
        slopes=np.asarray(true(knots), dtype=float).reshape(1, -1, 1),
        curvature_integrals=np.diff(np.asarray(smooth_slope(knots), dtype=float)).reshape(1, -1, 1),
    )
