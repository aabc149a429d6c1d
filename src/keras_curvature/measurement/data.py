"""What was measured at a probe, and what was concluded from it: the data that travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Units = Literal["raw", "std"]
"""`"raw"`: units of the data. `"std"`: standard deviations over the probe."""

Array = NDArray[np.floating]


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
class Ladder:
    """Curvature over a ladder of distances, on lines through some probe points.

    Attributes:
        distances: half-widths of the windows in standard deviations of the inputs, longest
            first, shape `(rungs,)`.
        curvature: second differences over these, in units of the output per squared standard
            deviation, shape `(rungs, samples, outputs)`; NaN where none was taken.
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
        ladder: the curvature over many distances, or `None`.
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
    ladder: Ladder | None = None

    @property
    def laplacian(self) -> Array:
        """Sum of the exact second derivatives over the inputs, shape `(n, m)`."""
        return self.diagonal.sum(axis=-1)


@dataclass(frozen=True)
class Verdict:
    """What is going on, in one sentence, and the short name of the case."""

    kind: str
    sentence: str


@dataclass(frozen=True)
class Spectrum:
    """How curved a function is over each of many distances, in standard deviations.

    Attributes:
        distances: half-widths of the windows, longest first, shape `(rungs,)`.
        mean: mean curvature along lines between probe points, at each distance.
        rms: root mean square of it.
        rounding: what rounding in float64, in which it is taken, adds to the root mean square.
        single_rounding: what it would add in the dtype in which derivatives are taken.
    """

    distances: Array
    mean: Array
    rms: Array
    rounding: Array
    single_rounding: Array


@dataclass(frozen=True)
class Report:
    """The named numbers of one output at one step.

    Attributes:
        step: 0 is the untrained model, `e + 1` the end of Keras's epoch `e`.
        output: the output's name in a model of several outputs, else `""`.
        headline: the few numbers to look at first.
        reference: how far the measured second derivatives are from the known ones.
        detail: the other scalars.
        features: mean |second derivative| along each input, in standard deviations.
        interactions: mean |Hessian| in standard deviations, shape `(d, d)`, or `None`.
        verdict: the sentence.
        method: what was computed, with which engine, on how many points, and why.
        units: of all numbers but those per feature, which are in standard deviations.
        spectrum: how curved it is over each of many distances, or `None`.
    """

    step: int
    output: str
    headline: Mapping[str, float]
    reference: Mapping[str, float]
    detail: Mapping[str, float]
    features: Mapping[str, float]
    interactions: Array | None
    verdict: Verdict
    method: tuple[str, ...] = ()
    units: Units = "raw"
    spectrum: Spectrum | None = None

    @property
    def scalars(self) -> dict[str, float]:
        """All numbers but the per-feature ones, headline first."""
        return {**self.headline, **self.reference, **self.detail}
