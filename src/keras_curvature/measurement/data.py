"""What was measured at a probe: the data that travels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.typing import Array


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


@dataclass(frozen=True)
class Measurement:
    """Derivatives of one output at every probe point, inputs and outputs flattened.

    Attributes:
        x: probe points, shape `(n, d)`.
        value: shape `(n, m)`.
        jacobian: shape `(n, m, d)`.
        diagonal: exact second derivatives along each input, shape `(n, m, d)`.
        hessian: shape `(n, m, d, d)`, or `None` where it is not affordable.
        scale: half-width of the window of `scale_diagonal` per input, shape `(d,)`.
        scale_diagonal: central second differences at `scale`, shape `(n, m, d)`; NaN at
            points where they were not taken.
        inside: whether they were taken and the window of the point stays inside the probe's
            range in that input, shape `(n, d)`. Averages use these points only.
        segments: the function between probe points.
        target: known values of the function, shape `(n, m)`, or `None`.
        reference: known second derivatives, shape `(n, m, d)`, or `None`.
        feature_names: one name per input, length `d`.
        input_spread: standard deviation of each input over the probe, shape `(d,)`;
            1 where an input is constant.
        output_spread: standard deviation of each output over the probe, shape `(m,)`;
            1 where an output is constant.
        multiscale: the curvature over many distances, or `None`.
    """

    x: Array
    value: Array
    jacobian: Array
    diagonal: Array
    hessian: Array | None
    scale: Array
    scale_diagonal: Array
    inside: NDArray[np.bool_]
    segments: Segments
    target: Array | None
    reference: Array | None
    feature_names: tuple[str, ...]
    input_spread: Array
    output_spread: Array
    multiscale: Multiscale | None = None

    @property
    def laplacian(self) -> Array:
        """Sum of the exact second derivatives over the inputs, shape `(n, m)`."""
        return self.diagonal.sum(axis=-1)


@dataclass(frozen=True)
class EstimatedMeasurement:
    """One output of a model of many inputs, seen along random directions.

    Attributes:
        value: shape `(n, m)`.
        traces: two independent estimates of each Hessian's trace, `(n, m, 2)`.
        directions: behind each of the two.
        squared_slopes: an estimate of each gradient's squared length, `(n, m)`.
        scale: half-width of the window of the curvature at the scale, per input, `(d,)`.
        scale_traces: change of slope over the window along two directions, which estimates
            the trace too, at some of the points, `(s, m, 2)`.
        segments: the function between probe points.
        target: known values of the function, `(n, m)`, or `None`.
        inputs: how many there are, `d`.
        input_spread: standard deviation of each input over the probe, `(d,)`.
        output_spread: standard deviation of each output over the probe, `(m,)`.
        unit: what each output is measured in here, `(m,)`.
    """

    value: Array
    traces: Array
    directions: int
    squared_slopes: Array
    scale: Array
    scale_traces: Array
    segments: Segments
    target: Array | None
    inputs: int
    input_spread: Array
    output_spread: Array
    unit: Array
