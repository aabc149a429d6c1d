"""What was measured at a probe: the data that travels, and the numbers that it amounts to."""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.measurement import statistics
from keras_curvature.measurement.change import Change, change_between
from keras_curvature.measurement.segment_slopes import Segments
from keras_curvature.measurement.slices import Slices
from keras_curvature.measurement.statistics import finite, mean, mean_where, root_mean
from keras_curvature.typing import Array


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
        digits: decimal digits of the second derivatives that are real; NaN where not known.
        coarse: how far apart the numbers of an input lie that has few; see `number_spacing`.
    """

    value: Array
    scale: Array
    segments: Segments
    target: Array | None
    input_spread: Array
    output_spread: Array
    multiscale: Multiscale | None = None
    unit: Array | float = 1.0
    digits: float = float("nan")
    coarse: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def by_input(self) -> ExactMeasurement | None:
        """The same where second derivatives along each input are known at each point."""
        return None

    @property
    @abstractmethod
    def has_numbers(self) -> bool:
        """Whether any second derivative is finite."""

    @property
    @abstractmethod
    def hessians(self) -> str:
        """What is known of each Hessian of several inputs, see `Report`; empty for one input."""

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
            numbers["r2"] = statistics.r2(self.value, self.target)
        return numbers

    def reference_errors(self) -> dict[str, float]:
        """How far the second derivatives are from the known ones."""
        return {}

    def feature_curvature(self) -> dict[str, float]:
        """Mean |second derivative| along each input, in standard units."""
        return {}

    def feature_changes(self) -> dict[str, Change]:
        """How much the output changes along each input of two values."""
        return {}

    def interactions(self) -> Array | None:
        """Mean |Hessian| in standard units, `(d, d)`, where the Hessian was taken."""
        return None

    def carriers(self) -> int | None:
        """How few points have most of an estimated mean square; `None` of an exact one."""
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
        scaled_share: of the probe's points, at which they were taken.
        reference: known second derivatives, shape `(n, m, d)`, or `None`.
        feature_names: one name per input, length `d`.
        held: the same on a line or a grid, all other inputs held at a central probe point; `None`
            where there are none, or more than two to draw it against.
        example_shape: shape of an example, where it is one array.
        ends: the two values of each input that has no others in the probe, NaN for the rest,
            shape `(d, 2)`.
        changes: the output at the higher of these less that at the lower one, for the `k` inputs
            that have them, shape `(n, m, k)`.
        change_rows: the same of the slope along each input, over the way, `(n, m, k, d)`; `None`
            where the Hessian is.
        slices: along each input in turn, always in units of the data; `None` where none were taken.
    """

    x: Array
    jacobian: Array
    diagonal: Array
    hessian: Array | None
    scale_diagonal: Array
    inside: NDArray[np.bool_]
    reference: Array | None
    feature_names: tuple[str, ...]
    scaled_share: float = 1.0
    held: ExactMeasurement | None = None
    example_shape: tuple[int, ...] | None = None
    ends: Array | None = None
    changes: Array | None = None
    change_rows: Array | None = None
    slices: Slices | None = None

    def straightness(self) -> float:
        """As for all measurements; where other inputs are held, of what these make of the output.

        The output's spread over the probe is that of all inputs.
        """
        if self.held is None:
            return super().straightness()
        along = np.sum((self.jacobian * self.input_spread) ** 2, axis=-1)
        own = np.array([root_mean(finite(column)) for column in np.sqrt(along).T])
        spread = np.where(own > 0, np.fmin(own, self.output_spread), self.output_spread)
        standard = self.segments.in_standard_units(spread)
        return standard.slope_change() * len(self.input_spread)

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

    @property
    def hessians(self) -> str:
        """All of each, or its diagonal."""
        whole = "diagonal" if self.hessian is None else "whole"
        return whole if len(self.feature_names) > 1 else ""

    def in_units(self, units: str) -> ExactMeasurement:
        """The same, for `"std"` with every input and output measured in its standard deviation.

        Numbers in these units compare between features and between runs: 1 means that the
        slope changes by one output deviation per input deviation, over one input deviation.
        Along an input that does not vary, beside others that do, they are 0.
        """
        return self._in_deviations if units == "std" else self

    @functools.cached_property
    def _in_deviations(self) -> ExactMeasurement:
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
            changes=None if self.changes is None else self.changes / out,
            change_rows=self._standard_rows(),
            held=None if self.held is None else self.held.in_units("std"),
        )

    def averages(self) -> dict[str, float]:
        """Of the Laplacian, and of the Hessian's Frobenius norm or of its diagonal's."""
        squares = self._over_inside(self.scale_diagonal**2)
        return {
            "mean": mean(finite(self.laplacian)),
            "rms": root_mean(finite((self._entries**2).sum(axis=-1))),
            "scale_mean": self.scale_mean(),
            "scale_rms": float(np.sqrt(np.sum(squares))),
        }

    def scale_mean(self, columns: Any = slice(None)) -> float:
        """Mean curvature at the scale of some entries of the output, summed over the inputs.

        Of each input over the points whose window stays inside the probe's range along it.
        """
        return float(np.sum(self._over_inside(self.scale_diagonal[:, columns])))

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
            "digits": self.digits,
        }
        numbers["slope_change_standard_error"] = self.segments.slope_change_error()
        numbers |= self._scale_errors()
        standard = self.in_units("std").hessian
        if self.hessian is None or standard is None:
            return numbers
        if not self.segments.hidden_fraction() < statistics.PARTLY_HIDDEN:
            # The exact second derivatives are not those of the function between the points.
            unknown = (*statistics.OF_EIGENVALUES, "interaction_fraction")
            return numbers | dict.fromkeys(unknown, float("nan"))
        numbers |= statistics.from_eigenvalues(self.hessian, self.jacobian, ~self.has_two_values)
        return numbers | {"interaction_fraction": statistics.interaction_fraction(standard)}

    def _scale_errors(self) -> dict[str, float]:
        """Standard errors of what is taken at the scale, where that is at some of the points."""
        if self.scaled_share == 1:
            return {}
        of_mean, of_square = (
            statistics.error_of_column_means(self.inside[:, None], values, self.scaled_share)
            for values in (self.scale_diagonal, self.scale_diagonal**2)
        )
        root = self.averages()["scale_rms"]
        return {
            "scale_mean_standard_error": of_mean,
            "scale_rms_standard_error": of_square / (2 * root) if root > 0 else of_square,
        }

    def feature_curvature(self) -> dict[str, float]:
        """Mean |second derivative| along each input, in standard units.

        NaN along one that has two values in the probe.
        """
        diagonal = np.abs(self.in_units("std").diagonal)
        known = np.where(self.has_two_values, np.nan, diagonal)
        return {name: mean(finite(known[..., i])) for i, name in enumerate(self.feature_names)}

    def scale_feature_curvature(self) -> dict[str, float]:
        """Mean |second difference at the scale| along each input; otherwise as these."""
        with np.errstate(over="ignore", invalid="ignore"):
            sizes = self._over_inside(np.abs(self.in_units("std").scale_diagonal))
        sizes = np.where(self.has_two_values, np.nan, sizes)
        return dict(zip(self.feature_names, sizes.tolist(), strict=True))

    def feature_changes(self) -> dict[str, Change]:
        """How much the output changes along each input of two values."""
        changes = self.in_units("std").changes
        if self.ends is None or changes is None:
            return {}
        places = np.flatnonzero(self.has_two_values)
        sizes = [mean(finite(np.abs(changes[..., k]))) for k in range(len(places))]
        return {
            self.feature_names[i]: change_between(self.x[:, i], self.ends[i], size)
            for i, size in zip(places, sizes, strict=True)
        }

    @property
    def has_two_values(self) -> NDArray[np.bool_]:
        """Which inputs have two values in the probe, shape `(d,)`."""
        d = len(self.feature_names)
        return np.zeros(d, bool) if self.ends is None else np.isfinite(self.ends[:, 0])

    def interactions(self) -> Array | None:
        """Mean |Hessian| in standard units, `(d, d)`, where the Hessian was taken.

        With an input of two values averaged over the way between them; NaN for two of these.
        """
        standard, two = self.in_units("std"), np.flatnonzero(self.has_two_values)
        if standard.hessian is None:
            return None
        found = statistics.interactions(standard.hessian).copy()
        if standard.change_rows is not None:
            rows = standard.change_rows
            mixed = mean_where(np.array(True), np.abs(rows))
            found[two], found[:, two] = mixed, mixed.T
            found[np.ix_(two, two)] = np.nan
        return found

    def _standard_rows(self) -> Array | None:
        if self.change_rows is None:
            return None
        s = statistics.deviations(self.x, self.input_spread)
        out = self.output_spread[:, None, None]
        return self.change_rows * s[self.has_two_values, None] * s / out

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
