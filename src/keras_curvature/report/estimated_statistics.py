"""What is known of a function of thousands of inputs: data that travels, and its numbers.

Everything here comes from a few random directions at each probe point. With `v` whose entries
are independent with the first four moments of a normal distribution,

- `E[vᵀHv] = tr H` (Hutchinson 1990), and `E[(gᵀv)²] = |g|²`;
- `Var[vᵀHv] = 2 |H|_F²`, so that the difference of two independent estimates of the trace, which
  knows nothing of the trace, tells the size of the Hessian: `E[q (a − b)² / 4] = |H|_F²` for the
  means `a`, `b` over `q` directions each.

Both are unbiased at every point, and their means over the probe have standard errors. What would
be biased (the mean of |trace|, its percentiles and signs, the largest one) is not computed.
"""

from __future__ import annotations

import numpy as np

from keras_curvature.measurement.data import EstimatedMeasurement, Segments
from keras_curvature.report.statistics import hidden_fraction, slope_change
from keras_curvature.typing import Array


def headline(s: EstimatedMeasurement) -> dict[str, float]:
    """The few numbers to look at first, those of `statistics.headline`."""
    numbers = {
        "mean": _mean(_by_point(s.traces.mean(axis=2))),
        "rms": _root(_mean(squared_norms(s))),
        "scale_mean": _mean(_by_point(s.scale_traces.mean(axis=2))),
        "scale_rms": _root(_mean(_squared_norms(s.scale_traces, 1))),
        "slope_change": slope_change(s.segments),
        "hidden_fraction": hidden_fraction(s.segments),
    }
    if s.target is not None:
        numbers["r2"] = _r2(s.value, s.target)
    return numbers


def detail(s: EstimatedMeasurement) -> dict[str, float]:
    """Their standard errors, and the other scalars."""
    norms = squared_norms(s)
    slopes = _by_point(s.squared_slopes)
    size, steepness = _root(_mean(norms)), _root(_mean(slopes))
    return {
        "mean_standard_error": _error_of_mean(s.traces),
        "rms_standard_error": _error_of_root(norms),
        "scale_mean_standard_error": _error_of_sample(s.scale_traces),
        "normalized_rms": size / steepness if steepness > 0 else float("nan"),
        "zero_fraction": float(np.mean(np.all(s.traces == 0, axis=2))),
        "nonfinite_fraction": float(np.mean(~np.isfinite(s.traces).all(axis=2))),
    }


def squared_norms(s: EstimatedMeasurement) -> Array:
    """Squared Frobenius norm of the Hessian at each finite point, mean of its outputs, `(n,)`."""
    return _squared_norms(s.traces, s.directions)


def straightness(s: EstimatedMeasurement) -> float:
    """Change of slope between probe points against what is typical of one input, about.

    In `d` inputs points lie `sqrt(2 d)` standard deviations apart instead of `sqrt(2)`, and a
    function that bends as much on the way changes its slope `d` times as slowly.
    """
    lengths, stretched = s.segments.lengths, s.segments.standard_lengths
    ratio = np.divide(lengths, stretched, out=np.ones_like(lengths), where=stretched > 0)
    slopes = s.segments.slopes * ratio[:, None, None] / s.output_spread
    standard = Segments(stretched, stretched, slopes, s.segments.curvature_integrals)
    return slope_change(standard) * s.inputs


def _squared_norms(traces: Array, directions: int) -> Array:
    difference = traces[..., 0] - traces[..., 1]
    return _by_point(directions * difference**2 / 4)


def _by_point(values: Array) -> Array:
    """The mean over outputs at each point where all are finite, `(n,)` or fewer.

    The outputs of an example share its directions, so only points are independent.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        means = values.mean(axis=1)
    return means[np.isfinite(means)]


def _error_of_mean(traces: Array) -> float:
    """Standard error of the mean trace over the probe: of the random directions, not of the probe.

    Half the difference of two estimates is as far off 0 as their mean is off the truth.
    """
    halves = _by_point((traces[..., 0] - traces[..., 1]) / 2)
    return float(np.sqrt(np.sum(halves**2)) / len(halves)) if len(halves) else float("nan")


def _error_of_sample(traces: Array) -> float:
    """Standard error of a mean over some of the probe's points: theirs and the directions'."""
    points = _by_point(traces.mean(axis=2))
    return float(points.std(ddof=1) / np.sqrt(len(points))) if len(points) > 1 else float("nan")


def _error_of_root(squares: Array) -> float:
    """Standard error of a root mean square; differences between the points count too."""
    if len(squares) < 2 or not squares.any():
        return float("nan")
    return float(squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * np.sqrt(squares.mean())))


def _r2(value: Array, target: Array) -> float:
    finite = np.isfinite(value)
    residual = ((value - target)[finite] ** 2).sum()
    about_mean = ((target - target.mean(axis=0))[finite] ** 2).sum()
    return float(1 - residual / about_mean) if about_mean > 0 else float("nan")


def _mean(values: Array) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _root(square: float) -> float:
    return float(np.sqrt(square))
