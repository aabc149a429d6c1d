"""Inputs that are the same at all points of a probe, beside others that are not."""

from __future__ import annotations

import numpy as np

from keras_curvature.measurement.results import ExactMeasurement
from keras_curvature.measurement.statistics import still


def constant_inputs(m: ExactMeasurement) -> list[str]:
    """Their names."""
    return [m.feature_names[i] for i in np.flatnonzero(still(m.x))]


def share_of_constant(m: ExactMeasurement) -> float:
    """What of the mean square of `rms` is along one of them."""
    if m.hessian is None:
        squares, along = m.diagonal**2, still(m.x)
    else:
        squares, along = m.hessian**2, still(m.x)[:, None] | still(m.x)
    axes = tuple(range(2, squares.ndim))
    known = np.isfinite(squares).all(axis=axes)
    whole = squares[known].sum()
    if not 0 < whole < np.inf:
        return 0.0
    return float(squares[known].sum(axis=0)[along].sum() / whole)
