"""The learned function along each input in turn, the others held at a point of the probe.

With three or more inputs nothing can be drawn against all of them at once. Against one or two of
several it can, but not through the points of the probe, which differ in the others too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import Engine, xp
from keras_curvature.engines.backend import FlatFunction
from keras_curvature.engines.quantities import DIRECTIONAL
from keras_curvature.measurement.windows import second_difference
from keras_curvature.typing import Array, Tensor

FEWEST_INPUTS, MOST_INPUTS = 3, 64
"""Fewer are drawn as they are; for more, nobody looks through the slices."""

ROWS = 640
"""Points of all slices together: few against the rows that the Hessian takes."""

FEWEST_POINTS, MOST_POINTS = 11, 25
"""Of one slice: enough to see a bend, and not more than can be seen."""

LINE_POINTS, MAP_POINTS = 101, 24
"""Along each of one or two inputs, where the others are held: a picture of that alone."""


@dataclass(frozen=True)
class Slices:
    """One output along each of `d` inputs, at `p` positions each.

    Attributes:
        positions: of the moving input, shape `(d, p)`, over its range in the probe.
        centre: where the others are held, shape `(d,)`: the probe point nearest to the
            medians, so that it is one that occurs.
        value: shape `(d, p, m)`.
        curvature: exact second derivative along the moving input, shape `(d, p, m)`.
        scale_curvature: the same over the monitor's scale, kinks included.
    """

    positions: Array
    centre: Array
    value: Array
    curvature: Array
    scale_curvature: Array


@dataclass(frozen=True)
class Cuts:
    """Where the slices lie, the same for every epoch.

    Attributes:
        index: of the probe point that they go through.
        centre: that point, shape `(d,)`.
        positions: shape `(d, p)`.
    """

    index: int
    centre: Array
    positions: Array

    @property
    def axes(self) -> NDArray[np.integer]:
        """The input that moves, for each row, shape `(d * p,)`."""
        return np.repeat(np.arange(len(self.positions)), self.positions.shape[1])


def cuts(z: Array, index: int) -> Cuts | None:
    """The slices through one point of a probe `(n, d)`; `None` where none are drawn."""
    d = z.shape[1]
    if not FEWEST_INPUTS <= d <= MOST_INPUTS:
        return None
    count = int(np.clip(ROWS // d, FEWEST_POINTS, MOST_POINTS))
    positions = np.linspace(z.min(axis=0), z.max(axis=0), count, axis=1)
    return Cuts(index, z[index], positions)


def central(arrays: Sequence[Array]) -> int:
    """The example nearest to the medians of all its numbers, so that it is one that occurs.

    Args:
        arrays: what there is of each example, `(n, ...)`.
    """
    distance = np.zeros(len(arrays[0]))
    for array in arrays:
        z = array.reshape(len(array), -1).astype(np.float64)
        spread = z.std(axis=0)
        apart = (z - np.median(z, axis=0)) / np.where(spread > 0, spread, 1.0)
        distance += (apart**2).sum(axis=1)
    return int(distance.argmin())


def grid(z: Array) -> Array | None:
    """Points on a line or in a rectangle over the range of one or two inputs `(n, d)`.

    `None` for more inputs, of which nothing is drawn against all.
    """
    if z.shape[1] >= FEWEST_INPUTS:
        return None
    count = (LINE_POINTS, MAP_POINTS)[z.shape[1] - 1]
    along = [np.linspace(*ends, count) for ends in zip(z.min(axis=0), z.max(axis=0), strict=True)]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, z.shape[1])


def along(
    engine: Engine[Any],
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    axis: Tensor,
    position: Tensor,
    scale: Tensor,
) -> dict[str, Tensor]:
    """Value and second derivatives with input `axis` of each row `z` moved to `position`.

    Args:
        engine: for the exact second derivatives.
        f: the function.
        z: the centre, once per row, shape `(rows, d)`.
        rest: the function's other inputs.
        axis: which input moves, shape `(rows,)`.
        position: where to, shape `(rows,)`.
        scale: half-width of the window of each input, shape `(d,)`.

    Returns:
        `value`, `curvature` and `scale_curvature`, each `(rows, m)`.
    """
    unit = xp.cast(xp.one_hot(axis, f.inputs.width), z.dtype)
    z = z + unit * (xp.cast(position, z.dtype)[:, None] - z)
    h = xp.take(xp.cast(scale, z.dtype), axis)[:, None]
    rows = xp.concatenate([z, z + h * unit, z - h * unit], axis=0)
    thrice = [xp.concatenate([r, r, r], axis=0) for r in rest]
    here, ahead, behind = xp.unstack(xp.reshape(f(rows, thrice), [3, -1, f.outputs.width]), 3)
    return {
        "value": here,
        "curvature": engine.compute(f, z, rest, unit, (DIRECTIONAL,), 1)[DIRECTIONAL],
        "scale_curvature": second_difference(behind, here, ahead) / h**2,
    }
