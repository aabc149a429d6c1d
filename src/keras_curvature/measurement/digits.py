"""How many digits of the second derivatives are real: what rounding and differences leave of them.

In float32 the same derivative in float64, at the same points, shows what rounding has done to it.
In float64 itself the derivative at a few points next to each other does: where the function is
smooth, all that is left in their fourth differences is noise. Differences of values show the rest,
a derivative that is not that of the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.engines.api import Engine, xp
from keras_curvature.engines.backend import FlatFunction
from keras_curvature.engines.quantities import CURVATURE
from keras_curvature.measurement import multiscale, rounding_noise
from keras_curvature.measurement.windows import second_difference
from keras_curvature.typing import Array, Tensor

HERE = (0.0,)
"""The point itself, where another dtype tells what is rounding."""

LEVELS = 3
"""Of Richardson's extrapolation: differences of order 8 from those of order 2."""

IN_DOUBT = 2.0
"""How many times its doubt a difference may be off."""


@dataclass(frozen=True)
class Second:
    """Second derivatives along one direction through each of some points.

    Attributes:
        own: as they are measured, `(n, m)`.
        precise: in float64, at the point or at places next to it, `(n, m, places)`.
        eps: of the dtype of `own`.
    """

    own: Array
    precise: Array
    eps: float

    @property
    def rounding(self) -> Array:
        """What rounding has made of each, `(n, m)`."""
        if self.precise.shape[2] == 1:
            with np.errstate(invalid="ignore"):  # infinite less infinite: not finite, left out
                return np.abs(self.own - self.precise[..., 0])
        spread = rounding_noise.noise(np.moveaxis(self.precise, 2, 1))
        return np.broadcast_to(spread, self.own.shape)

    def digits(self, contradicted: Array | float = 0.0) -> float:
        """How many decimal digits of them are real, root mean square over root mean square.

        Args:
            contradicted: by how much differences contradict each, `(n, m)`.

        Returns:
            Between 0 and those of the dtype; NaN where all are exactly 0 or none is finite.
        """
        value = self.precise.mean(axis=2)
        error = self.rounding + contradicted
        known = np.isfinite(value) & np.isfinite(error)
        size, off = (np.linalg.norm(part[known]) for part in (value, error))
        if not size > 0:
            return float("nan")
        return float(np.log10(1 / np.clip(off / size, self.eps / 2, 1.0)))


def places(dtype: Any) -> tuple[float, ...]:
    """Where on the line through each point float64 is wanted, in standard deviations."""
    return tuple(rounding_noise.offsets().tolist()) if dtype == xp.dtype_of("float64") else HERE


def along(
    engine: Engine[Any],
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    unit: Tensor,
    places: tuple[float, ...],
) -> Tensor:
    """Second derivatives along a direction through each point, `(n, m, places)`.

    Args:
        engine: computes them.
        f: the function.
        z: the points, `(n, d)`.
        rest: its other inputs.
        unit: the direction of each, `(n, d)`.
        places: on these lines, in lengths of `unit`.
    """
    t, d = len(places), f.inputs.width
    unit = xp.cast(unit, z.dtype)
    rows = z[:, None] + xp.constant(np.array(places), z.dtype)[:, None] * unit[:, None]
    directions = xp.repeat(unit, t, axis=0)[None]
    others = [xp.repeat(r, t, axis=0) for r in rest]
    found = engine.along(f, xp.reshape(rows, [-1, d]), others, directions)[CURVATURE]
    return xp.transpose(xp.reshape(found, [-1, t, f.outputs.width]), [0, 2, 1])


def contradicted(second: Second, values: Array, noise: Array) -> Array:
    """By how much differences of values contradict second derivatives, `(n, m)`; 0 in doubt.

    Second differences over distances each half as long as the one before are extrapolated to order
    8. Of these that one counts which halving its distance, a lower order and rounding put least in
    doubt, and only as far as shorter ones do not contradict it.

    Args:
        second: the derivatives along the lines.
        values: at `multiscale.OFFSETS` of these, `(n, places, m)`.
        noise: rounding in one value, `(m,)`.

    Source:
        Richardson, The approximate arithmetical solution by finite differences, Philosophical
        Transactions of the Royal Society A 210, 1911.
    """
    h = multiscale.DISTANCES[:, None, None]
    here, ahead, behind = np.split(values, [1, 1 + len(h)], axis=1)
    tables = [np.moveaxis(second_difference(behind, here, ahead), 1, 0) / h**2]
    for level in range(1, LEVELS + 1):
        finer, coarser = tables[-1][1:], tables[-1][:-1]
        tables.append(finer + (finer - coarser) / (4**level - 1))
    best, lower = tables[-1], tables[-2][1:]
    # Extrapolating makes little more of the rounding: 1.45 times as much.
    rounding = 1.5 * rounding_noise.in_second_difference(noise, h[LEVELS:])
    doubt = (np.abs(best - lower) + rounding)[:-1] + np.abs(np.diff(best, axis=0))
    found, doubt = best[:-1], np.where(np.isfinite(doubt), doubt, np.inf)
    for i in range(len(found) - 1):
        with np.errstate(invalid="ignore"):
            against = np.abs(found[i] - found[i + 1 :]) - IN_DOUBT * doubt[i + 1 :]
        against = np.where(np.isfinite(against), against, 0.0)
        doubt[i] = np.maximum(doubt[i], against.max(axis=0))
    chosen = doubt.argmin(axis=0)[None]
    value, doubt = (np.take_along_axis(a, chosen, axis=0)[0] for a in (found, doubt))
    apart = np.abs(second.precise.mean(axis=2) - value) - IN_DOUBT * doubt
    return np.where(np.isfinite(apart), np.maximum(apart, 0.0), 0.0)
