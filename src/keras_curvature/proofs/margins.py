"""By how much a claim holds in boxes: at least and at most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.enclosures.encloser import Encloser
from keras_curvature.enclosures.interval import outward
from keras_curvature.enclosures.planes import Planes, joined
from keras_curvature.engines.quantities import HESSIAN, partial_name
from keras_curvature.proofs.claims import Claim
from keras_curvature.proofs.interval_eigenvalues import largest_magnitude, smallest_eigenvalue
from keras_curvature.typing import Array

ROUNDED = 3.0
"""Units in the last place: a difference, a length, and the quotient of the two."""

Interval = tuple[Array, Array]

Enclose = Callable[[Array, Array, Sequence[str]], Mapping[str, Interval]]
"""From boxes `(n, d)` and names to a lower and an upper bound of each.

Names are those of the engines: `(n, m)` of partial derivatives, `(n, m, d, d)` of the Hessian.
"""


@dataclass(frozen=True)
class Margins:
    """By how much a claim holds: it is true where the margin is at least 0.

    The margin is that of the entry of the output that has the smallest.

    Attributes:
        claim: what is claimed.
        enclose: the model.
    """

    claim: Claim
    enclose: Enclose

    def inside(self, low: Array, high: Array) -> Interval:
        """Bounds of the margin at all points of each box, `(n,)`; of a point if it is one."""
        return self.of(self.enclose(low, high, [self.quantity])[self.quantity])

    @property
    def quantity(self) -> str:
        """What `enclose` has to bound."""
        claim = self.claim
        return HESSIAN if claim.joint else partial_name(claim.inputs * claim.order)

    def of(self, bounds: Interval) -> Interval:
        """The margin's bounds, `(n,)`, from those of the quantity."""
        margin = self._of_hessian(*bounds) if self.claim.joint else self._margin(*bounds)
        return _of_all_outputs(*margin)

    @property
    def has_planes(self) -> bool:
        """Whether bounds of the margin may follow planes: of one derivative's sign."""
        whole = isinstance(self.enclose, Encloser) and self.enclose.outputs.width == 1
        return whole and not self.claim.joint and self.claim.bound is None

    def inside_with_planes(
        self, low: Array, high: Array, wanted: bool = True
    ) -> tuple[Array, Array, Planes | None]:
        """The bounds of `inside`, and planes if they are wanted, and known of every box."""
        if not wanted:
            return *self.inside(low, high), None
        assert isinstance(self.enclose, Encloser)
        planes: list[Planes] = []
        bounds = self.enclose(low, high, [self.quantity], planes=planes)[self.quantity]
        found = self.of(bounds)
        if not planes:
            return *found, None
        whole = joined(planes)
        return *found, whole.opposite() if self.claim.sign < 0 else whole

    def _margin(self, lower: Array, upper: Array) -> Interval:
        """Of a derivative along one input."""
        if self.claim.bound is not None:
            return _below(self.claim.bound, *_magnitude(lower, upper))
        return (-upper, -lower) if self.claim.sign < 0 else (lower, upper)

    def between(self, low: Array, high: Array) -> Interval:
        """Bounds of the mean margin from one end of each box to the other, along the input.

        The change of the slope, which kinks add to, over the length: for claims of the second
        derivative along one input. It holds on each line through the box.

        Args:
            low: of the boxes, `(n, d)`.
            high: likewise, higher along the input.

        Returns:
            Two arrays `(n,)`.
        """
        (i,) = self.claim.inputs
        first_high, last_low = high.copy(), low.copy()
        first_high[:, i], last_low[:, i] = low[:, i], high[:, i]
        name = partial_name((i,))
        ends = [self.enclose(*box, [name])[name] for box in ((low, first_high), (last_low, high))]
        length = (high[:, i] - low[:, i])[:, None]
        (first_lower, first_upper), (last_lower, last_upper) = ends
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = outward(
                (last_lower - first_upper) / length, (last_upper - first_lower) / length, ROUNDED
            )
        return _of_all_outputs(*self._margin(mean.lower, mean.upper))

    def _of_hessian(self, lower: Array, upper: Array) -> Interval:
        claim = self.claim
        n = len(lower)
        chosen = np.ix_(range(n), range(lower.shape[1]), claim.inputs, claim.inputs)
        lower, upper = lower[chosen], upper[chosen]
        # Both halves enclose the same number.
        lower = np.maximum(lower, np.swapaxes(lower, 2, 3))
        upper = np.minimum(upper, np.swapaxes(upper, 2, 3))
        k = len(claim.inputs)
        flat = lower.reshape(-1, k, k), upper.reshape(-1, k, k)
        if claim.bound is not None:
            least, most = largest_magnitude(*flat)
            bounds = _below(claim.bound, least, most)
        elif claim.sign < 0:
            bounds = smallest_eigenvalue(-flat[1], -flat[0])
        else:
            bounds = smallest_eigenvalue(*flat)
        return bounds[0].reshape(n, -1), bounds[1].reshape(n, -1)


def _of_all_outputs(lower: Array, upper: Array) -> Interval:
    """Of the least of them, `(n,)`; what is not a number bounds nothing."""
    lower = np.where(np.isnan(lower), -np.inf, lower)
    upper = np.where(np.isnan(upper), np.inf, upper)
    return lower.min(axis=1), upper.min(axis=1)


def _below(bound: float, lower: Array, upper: Array) -> Interval:
    """By how much numbers are less than a bound."""
    with np.errstate(invalid="ignore"):
        room = outward(bound - upper, bound - lower)
    return room.lower, room.upper


def _magnitude(lower: Array, upper: Array) -> Interval:
    """Bounds of |x|."""
    least = np.maximum(np.maximum(lower, -upper), 0)
    return least, np.maximum(np.abs(lower), np.abs(upper))
