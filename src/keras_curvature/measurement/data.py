"""What was measured at a probe: the data that travels, and the numbers that it amounts to."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.measurement import statistics
from keras_curvature.measurement.statistics import finite, mean, mean_where, root_mean
from keras_curvature.typing import Array

SLOPE_TOLERANCE = 64 * float(np.finfo(np.float32).eps)
"""Change of slope, relative to the largest slope, that rounding in float32 can fake."""


@dataclass(frozen=True)
class Segments:
    """The learned function along straight segments between probe points.

    Every segment is cut into the same number of equal pieces.

    Attributes:
        lengths: length of each segment, shape `(segments,)`.
        standard_lengths: the same with each input measured in its standard deviation.
        slopes: directional slope at the ends of the pieces, shape
            `(segments, pieces + 1, outputs)`.
        curvature_integrals: integral of the exact directional second derivative over
            each piece, shape `(segments, pieces, outputs)`. What the change of slope
            would be if the exact second derivative saw all of it.
        integration_errors: how far off the integrals may be, in the same shape.
    """

    lengths: Array
    standard_lengths: Array
    slopes: Array
    curvature_integrals: Array
    integration_errors: Array | float = 0.0

    def in_standard_units(self, output_spread: Array) -> Segments:
        """The same with inputs in standard deviations and each output in `output_spread`."""
        ratio = np.ones_like(self.lengths)
        np.divide(self.lengths, self.standard_lengths, out=ratio, where=self.standard_lengths > 0)
        factor = ratio[:, None, None] / output_spread
        return Segments(
            lengths=self.standard_lengths,
            standard_lengths=self.standard_lengths,
            slopes=self.slopes * factor,
            curvature_integrals=self.curvature_integrals * factor,
            integration_errors=self.integration_errors * factor,
        )

    def slope_change(self) -> float:
        """Total |change of directional slope| over total length: total variation of the slope.

        Means the same for smooth and for piecewise-linear functions, and needs no scale
        (Savarese et al., How do infinite width bounded norm networks look in function space?,
        2019; in one input it is the total variation of the derivative). NaN where there is no way
        between points: of one point alone, or the same one many times.
        """
        changes = np.abs(np.diff(self.slopes, axis=1)).sum(axis=1)
        known = np.isfinite(changes).all(axis=1)
        length = self.lengths[known].sum()
        return float(changes[known].mean(axis=1).sum() / length) if length > 0 else float("nan")

    def hidden_fraction(self) -> float:
        """Share of the change of slope that the exact second derivative does not see.

        On each piece of a segment the change of slope is set against the integral of the exact
        second derivative. 1 for a piecewise-linear function, 0 for a smooth one, and 0 where
        the slope does not change at all. NaN where there is no way between points.
        """
        change, seen = np.diff(self.slopes, axis=1), self.curvature_integrals
        known = np.isfinite(change) & np.isfinite(seen)
        if not known.any() or not self.lengths.any():
            return float("nan")
        noise = SLOPE_TOLERANCE * np.abs(finite(self.slopes)).max(initial=0.0)
        missed = np.maximum(np.abs(change - seen) - self.integration_errors, 0.0)[known]
        larger = np.maximum(np.abs(change), np.abs(seen))[known]
        missed = np.where(missed > noise, missed, 0.0)
        total = np.where(larger > noise, larger, 0.0).sum()
        return float(min(1.0, missed.sum() / total)) if total > 0 else 0.0


@dataclass(frozen=True)
class Multiscale:
    """Curvature over many distances, on lines through some probe points.

    Attributes:
        distances: half-widths of the windows in standard deviations of the inputs, longest
            first, shape `(scales,)`.
        curvature: second differences over these, in units of the output per squared standard
            deviation, shape `(scales, samples, outputs)`; NaN where none was taken.
        noise: standard deviation of the rounding in one value in float64, shape `(outputs,)`.
        single_noise: the same in the dtype in which derivatives are taken.
    """

    distances: Array
    curvature: Array
    noise: Array
    single_noise: Array


@dataclass(frozen=True, kw_only=True)
class Measurement(ABC):
    """What was measured of one output at a probe, inputs and outputs flattened.

    Attributes:
        value: shape `(n, m)`.
        scale: half-width of the window of the curvature at the scale, per input, shape `(d,)`.
        segments: the function between probe points.
        target: known values of the function, shape `(n, m)`, or `None`.
        input_spread: standard deviation of each input over the probe, shape `(d,)`;
            1 where an input is constant.
        output_spread: standard deviation of each output over the probe, shape `(m,)`;
            1 where an output is constant.
        multiscale: the curvature over many distances, or `None`.
        unit: what each output is measured in here, shape `(m,)` or a number.
    """

    value: Array
    scale: Array
    segments: Segments
    target: Array | None
    input_spread: Array
    output_spread: Array
    multiscale: Multiscale | None = None
    unit: Array | float = 1.0

    @property
    def by_input(self) -> ExactMeasurement | None:
        """The same where second derivatives along each input are known at each point."""
        return None

    @property
    @abstractmethod
    def has_numbers(self) -> bool:
        """Whether any second derivative is finite."""

    @abstractmethod
    def averages(self) -> dict[str, float]:
        """Mean and root mean square of the curvature, at points and at the scale."""

    @abstractmethod
    def detail(self) -> dict[str, float]:
        """The other scalars."""

    def in_units(self, units: str) -> Measurement:
        """The same in the units of the reports; estimates are taken in these."""
        return self

    def headline(self) -> dict[str, float]:
        """The few numbers to look at first."""
        numbers = self.averages() | {
            "slope_change": self.segments.slope_change(),
            "hidden_fraction": self.segments.hidden_fraction(),
        }
        if self.target is not None:
            # Of the data: each of several outputs counts by its variance, whatever the units.
            numbers["r2"] = statistics.r2(self.value * self.unit, self.target * self.unit)
        return numbers

    def reference_errors(self) -> dict[str, float]:
        """How far the second derivatives are from the known ones."""
        return {}

    def feature_curvature(self) -> dict[str, float]:
        """Mean |second derivative| along each input, in standard units."""
        return {}

    def interactions(self) -> Array | None:
        """Mean |Hessian| in standard units, `(d, d)`, where the Hessian was taken."""
        return None

    def straightness(self) -> float:
        """Change of slope between probe points against what is typical of one input.

        In `d` inputs points lie `sqrt(2 d)` standard deviations apart instead of `sqrt(2)`, and a
        function that bends as much on the way changes its slope `d` times as slowly.
        """
        standard = self.segments.in_standard_units(self.output_spread)
        return standard.slope_change() * len(self.input_spread)

    def gain_of_a_parabola(self) -> float:
        """How much better a parabola in each input would fit the known values than a plane.

        The difference of the adjusted R2 of the two least-squares fits on the probe: what there
        is to learn beyond a straight line, noise discounted. NaN where the probe has too few points
        to say, or that is not looked at.
        """
        return float("nan")


@dataclass(frozen=True, kw_only=True)
class ExactMeasurement(Measurement):
    """Derivatives of one output at every probe point.

    Attributes:
        x: probe points, shape `(n, d)`.
        jacobian: shape `(n, m, d)`.
        diagonal: exact second derivatives along each input, shape `(n, m, d)`.
        hessian: shape `(n, m, d, d)`, or `None` where it is not affordable.
        scale_diagonal: central second differences at `scale`, shape `(n, m, d)`; NaN at
            points where they were not taken.
        inside: whether they were taken and the window of the point stays inside the probe's
            range in that input, shape `(n, d)`. Averages use these points only.
        reference: known second derivatives, shape `(n, m, d)`, or `None`.
        feature_names: one name per input, length `d`.
        held: the same on a line or a grid, all other inputs held at a central probe point; `None`
            where there are none, or more than two to draw it against.
    """

    x: Array
    jacobian: Array
    diagonal: Array
    hessian: Array | None
    scale_diagonal: Array
    inside: NDArray[np.bool_]
    reference: Array | None
    feature_names: tuple[str, ...]
    held: ExactMeasurement | None = None

    @property
    def by_input(self) -> ExactMeasurement:
        """Itself."""
        return self

    @property
    def laplacian(self) -> Array:
        """Sum of the exact second derivatives over the inputs, shape `(n, m)`."""
        return self.diagonal.sum(axis=-1)

    @property
    def has_numbers(self) -> bool:
        """Whether any second derivative is finite."""
        return bool(np.isfinite(self.diagonal).any())

    def in_units(self, units: str) -> ExactMeasurement:
        """The same, for `"std"` with every input and output measured in its standard deviation.

        Numbers in these units compare between features and between runs: 1 means that the
        slope changes by one output deviation per input deviation, over one input deviation.
        Along an input that does not vary, beside others that do, they are 0.
        """
        if units != "std":
            return self
        s, out = statistics.deviations(self.x, self.input_spread), self.output_spread[:, None]
        hessian = self.hessian
        return dataclasses.replace(
            self,
            jacobian=self.jacobian * s / out,
            diagonal=self.diagonal * s**2 / out,
            hessian=None if hessian is None else hessian * s[:, None] * s / out[..., None],
            scale=self.scale / self.input_spread,
            scale_diagonal=self.scale_diagonal * s**2 / out,
            segments=self.segments.in_standard_units(self.output_spread),
            reference=None if self.reference is None else self.reference * s**2 / out,
            input_spread=np.ones_like(self.input_spread),
            value=self.value / self.output_spread,
            target=None if self.target is None else self.target / self.output_spread,
            output_spread=np.ones_like(self.output_spread),
            unit=self.unit * self.output_spread,
            held=None if self.held is None else self.held.in_units(units),
        )

    def averages(self) -> dict[str, float]:
        """Of the Laplacian, and of the Hessian's Frobenius norm or of its diagonal's."""
        at_scale = [self._over_inside(self.scale_diagonal**power) for power in (1, 2)]
        return {
            "mean": mean(finite(self.laplacian)),
            "rms": root_mean(finite((self._entries**2).sum(axis=-1))),
            "scale_mean": float(np.sum(at_scale[0])),
            "scale_rms": float(np.sqrt(np.sum(at_scale[1]))),
        }

    def reference_errors(self) -> dict[str, float]:
        """How far the second derivatives are from the known ones."""
        if self.reference is None:
            return {}
        at_scale = self._over_inside((self.scale_diagonal - self.reference) ** 2)
        return {
            "reference_rmse": root_mean(finite((self.diagonal - self.reference) ** 2)),
            "scale_reference_rmse": float(np.sqrt(np.mean(at_scale))),
        }

    def detail(self) -> dict[str, float]:
        """The other scalars."""
        laplacian, entries = finite(self.laplacian), self._entries
        p05, p50, p95 = np.percentile(laplacian, [5, 50, 95]) if laplacian.size else [np.nan] * 3
        numbers = {
            "p05": float(p05),
            "p50": float(p50),
            "p95": float(p95),
            "max": float(np.max(np.abs(laplacian))) if laplacian.size else np.nan,
            "positive_fraction": mean(laplacian > 0),
            "zero_fraction": float(np.mean(np.all(entries == 0, axis=-1))),
            "nonfinite_fraction": float(np.mean(~np.all(np.isfinite(entries), axis=-1))),
        }
        standard = self.in_units("std").hessian
        if self.hessian is None or standard is None:
            return numbers
        numbers |= statistics.from_eigenvalues(self.hessian, self.jacobian)
        if not self.segments.hidden_fraction() < statistics.PARTLY_HIDDEN:
            numbers |= dict.fromkeys(statistics.JOINT_SHAPE, float("nan"))
        return numbers | {"interaction_fraction": statistics.interaction_fraction(standard)}

    def feature_curvature(self) -> dict[str, float]:
        """Mean |second derivative| along each input, in standard units."""
        diagonal = np.abs(self.in_units("std").diagonal)
        return {name: mean(finite(diagonal[..., i])) for i, name in enumerate(self.feature_names)}

    def interactions(self) -> Array | None:
        """Mean |Hessian| in standard units, `(d, d)`, where the Hessian was taken."""
        hessian = self.in_units("std").hessian
        return None if hessian is None else statistics.interactions(hessian)

    def gain_of_a_parabola(self) -> float:
        """How much better a parabola in each input would fit the known values than a plane."""
        n, d = self.x.shape
        if self.target is None or n < 4 * d + 4:
            return float("nan")
        u = (self.x - self.x.mean(axis=0)) / self.input_spread
        plane = np.hstack([np.ones((n, 1)), u])
        parabola = statistics.adjusted_r2(np.hstack([plane, u**2]), self.target)
        return parabola - statistics.adjusted_r2(plane, self.target)

    @property
    def _entries(self) -> Array:
        """Of each Hessian, or of its diagonal where that is all, `(n, m, entries)`."""
        second = self.diagonal if self.hessian is None else self.hessian
        return second.reshape(*second.shape[:2], -1)

    def _over_inside(self, values: Array) -> Array:
        """Mean over outputs and the points whose window is inside the probe's range, `(d,)`."""
        return mean_where(self.inside[:, None, :], values)


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
