"""What was measured of a model of many inputs, from random directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_curvature.measurement import statistics
from keras_curvature.measurement.data import Measurement
from keras_curvature.measurement.statistics import mean, root_mean
from keras_curvature.typing import Array


@dataclass(frozen=True, kw_only=True)
class EstimatedMeasurement(Measurement):
    """One output of a model of many inputs, seen along a few random directions at each point.

    With `v` whose entries are independent with the first four moments of a normal distribution,

    - `E[vᵀHv] = tr H` (Hutchinson 1990), and `E[(gᵀv)²] = |g|²`;
    - `Var[vᵀHv] = 2 |H|_F²`, so that the difference of two independent estimates of the trace,
      which knows nothing of the trace, tells the size of the Hessian: `E[q (a − b)² / 4] = |H|_F²`
      for the means `a`, `b` over `q` directions each.

    Both are unbiased at every point, and their means over the probe have standard errors. What
    would be biased (the mean of |trace|, its percentiles and signs, the largest one) is not
    computed.

    Attributes:
        traces: two independent estimates of each Hessian's trace, `(n, m, 2)`.
        directions: behind each of the two.
        squared_slopes: an estimate of each gradient's squared length, `(n, m)`.
        scale_traces: change of slope over the window along two directions, which estimates
            the trace too, at some of the points, `(s, m, 2)`.
    """

    traces: Array
    directions: int
    squared_slopes: Array
    scale_traces: Array

    @property
    def has_numbers(self) -> bool:
        """Whether any second derivative is finite."""
        return bool(np.isfinite(self.traces).any())

    def averages(self) -> dict[str, float]:
        """Of the Hessian's trace and of its Frobenius norm."""
        return {
            "mean": mean(statistics.by_point(self.traces.mean(axis=2))),
            "rms": root_mean(self._squared_norms),
            "scale_mean": mean(statistics.by_point(self.scale_traces.mean(axis=2))),
            "scale_rms": root_mean(_squared_norms(self.scale_traces, 1)),
        }

    def detail(self) -> dict[str, float]:
        """The standard errors, and the other scalars."""
        norms, t = self._squared_norms, self.traces
        size, steepness = root_mean(norms), root_mean(statistics.by_point(self.squared_slopes))
        return {
            "mean_standard_error": statistics.error_of_mean(t),
            "rms_standard_error": statistics.error_of_root(norms),
            "scale_mean_standard_error": statistics.error_of_sample(self.scale_traces),
            "normalized_rms": size / steepness if steepness > 0 else float("nan"),
            "zero_fraction": float(np.mean(np.all(t == 0, axis=2))),
            "nonfinite_fraction": float(np.mean(~np.isfinite(t).all(axis=2))),
        }

    @property
    def _squared_norms(self) -> Array:
        return _squared_norms(self.traces, self.directions)


def _squared_norms(traces: Array, directions: int) -> Array:
    """Squared Frobenius norm of the Hessian at each finite point, mean of its outputs, `(n,)`."""
    difference = traces[..., 0] - traces[..., 1]
    return statistics.by_point(directions * difference**2 / 4)
