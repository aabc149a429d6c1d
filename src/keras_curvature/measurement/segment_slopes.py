"""The slope of a function along straight lines between probe points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_curvature.measurement.statistics import finite
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
        changes, lengths = self._changes()
        return float(changes.sum() / lengths.sum()) if lengths.any() else float("nan")

    def slope_change_error(self) -> float:
        """Standard error of `slope_change` over other choices of the segments; NaN for one alone.

        Of a ratio, to first order (Cochran, Sampling Techniques, 1977, section 6.4). A segment and
        the one after it share a point, so that what they have in common counts too.
        """
        changes, lengths = self._changes()
        count = len(lengths)
        if count < 2 or not lengths.any():
            return float("nan")
        off = changes - changes.sum() / lengths.sum() * lengths
        shared = max(0.0, 2 * np.sum(off[1:] * off[:-1]))
        return float(np.sqrt((np.sum(off**2) + shared) * count / (count - 1)) / lengths.sum())

    def _changes(self) -> tuple[Array, Array]:
        """|Change of slope| along each segment where it is known, mean of outputs, and lengths."""
        changes = np.abs(np.diff(self.slopes, axis=1)).sum(axis=1)
        known = np.isfinite(changes).all(axis=1)
        return changes[known].mean(axis=1), self.lengths[known]

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
