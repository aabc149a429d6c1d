"""What was measured of a model of many inputs, from random directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_curvature.measurement import statistics
from keras_curvature.measurement.results import Measurement
from keras_curvature.measurement.statistics import mean, root_mean
from keras_curvature.typing import Array


@dataclass(frozen=True, kw_only=True)
class EstimatedMeasurement(Measurement):
    """One output of a model of many inputs, seen along a few random directions at each point.

    With `v` whose entries are independent with the first four moments of a normal distribution,

    - `E[vᵀHv] = tr H` (Hutchinson 1990), and `E[(gᵀv)²] = |g|²`;
    - `Var[vᵀHv] = 2 |H|_F²`, so that half the sample variance over the directions at a point,
      the mean of `(vᵀHv − wᵀHw)² / 4` over all pairs of them, is an unbiased estimate of `|H|_F²`.
      Over `k` directions its own variance is `|H|_F⁴` times `2 / (k − 1)` where many directions
      bend alike, and up to `12 / k` more where one does.

    Both are unbiased at every point, and their means over the probe have standard errors. What
    would be biased (the mean of |trace|, its percentiles and signs, the largest one) is not
    computed.

    Attributes:
        traces: `vᵀHv` along each of `k` directions, `(n, m, k)`.
        squared_slopes: an estimate of each gradient's squared length, `(n, m)`.
        scale_traces: change of slope over the window along two directions, which estimates
            the trace too, at some of the points, `(s, m, 2)`.
    """

    traces: Array
    squared_slopes: Array
    scale_traces: Array

    @property
    def has_numbers(self) -> bool:
        """Whether any second derivative is finite."""
        return bool(np.isfinite(self.traces).any())

    @property
    def hessians(self) -> str:
        """What random directions tell of each."""
        return "estimates"

    def averages(self) -> dict[str, float]:
        """Of the Hessian's trace and of its Frobenius norm."""
        return {
            "mean": mean(statistics.by_point(self.traces.mean(axis=2))),
            "rms": root_mean(self._squared_norms),
            "scale_mean": mean(statistics.by_point(self.scale_traces.mean(axis=2))),
            "scale_rms": root_mean(_squared_norms(self.scale_traces)),
        }

    def detail(self) -> dict[str, float]:
        """The standard errors, and the other scalars."""
        norms, t = self._squared_norms, self.traces
        size, steepness = root_mean(norms), root_mean(statistics.by_point(self.squared_slopes))
        return {
            "mean_standard_error": statistics.error_of_mean(t),
            "rms_standard_error": statistics.error_of_root(norms),
            "rms_points": float(self.carriers()),
            "scale_mean_standard_error": statistics.error_of_sample(self.scale_traces),
            "scale_rms_standard_error": statistics.error_of_root(_squared_norms(self.scale_traces)),
            "slope_change_standard_error": self.segments.slope_change_error(),
            "normalized_rms": size / steepness if steepness > 0 else float("nan"),
            "zero_fraction": float(np.mean(np.all(t == 0, axis=2))),
            "nonfinite_fraction": float(np.mean(~np.isfinite(t).all(axis=2))),
            "digits": self.digits,
        }

    def carriers(self) -> int:
        """How few points have most of the mean of ‖Hessian‖²."""
        return statistics.carriers(self._squared_norms)

    @property
    def _squared_norms(self) -> Array:
        return _squared_norms(self.traces)


def _squared_norms(traces: Array) -> Array:
    """Squared Frobenius norm of the Hessian at each finite point, mean of its outputs, `(n,)`."""
    with np.errstate(invalid="ignore", over="ignore"):
        return statistics.by_point(traces.var(axis=2, ddof=1) / 2)
