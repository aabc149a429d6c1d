"""The kinks of a piecewise-linear network of one input, found exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import (
    BoundModel,
    Options,
    bind,
    chunking,
    run_chunked,
    unflatten,
    xp,
)
from keras_curvature.engines.backend import (
    FlatFunction,
    computing_in,
    require_eager,
    switches_of,
    value_and_jacobian,
)
from keras_curvature.typing import Array, Model, Output, Tensor

RESOLUTION = 64 * float(np.finfo(np.float64).eps)
"""Kinks closer than this, relative to the larger end, count as one: rounding can part them."""

NEGLIGIBLE = 1e-12
"""A change of slope below this share of the steepest slope is rounding, and no kink."""

CERTAINTY = 1e-9
"""How far, relative to the function's size, a value may lie off its piece."""


@dataclass(frozen=True)
class Kinks:
    """Where a piecewise-linear function of one input changes its slope, and by how much.

    Its second derivative is a sum of Dirac deltas: `slope_changes` at `positions`.

    Attributes:
        low: where the search began.
        high: where it ended.
        positions: of all kinks between, in increasing order, shape `(kinks,)`.
        slope_changes: slope behind less slope before each kink, shape
            `(kinks, *output_shape)`, 0 for an output that has no kink there; in the model's
            own structure if it has several outputs.
    """

    low: float
    high: float
    positions: Array
    slope_changes: Any


def kinks(model: Model, low: float, high: float, *, output: Output = None) -> Kinks:
    """Finds all kinks of a piecewise-linear model of one input, exactly to rounding.

    A network of Dense layers and activations like ReLU is a line between kinks. Each
    activation has its kinks where its argument takes a certain value, and between the kinks of
    all layers before, the argument is linear: its values at both ends say where. So layer by
    layer, from two ends, every kink is found, however small or close to the next (Hanin and
    Rolnick, Complexity of linear regions in deep networks, 2019, follow the same pieces).
    That the function is a line on each piece found is checked at the end. All in float64.

    Args:
        model: a Keras model or layer of one input, or a function of a tensor `(batch, 1)`.
            To follow a straight line through several inputs, give a function of the way along
            it: `lambda t: model(start + t * (end - start))`.
        low: where to begin.
        high: where to end.
        output: which output to follow, as in `keras_curvature.derivatives`.

    Returns:
        A `Kinks`.

    Raises:
        ValueError: for a model of several inputs; for one that is not piecewise linear, by the
            name of the operation and the layer that curves or jumps; and for ends that are
            not finite and increasing.

    Example:
        >>> import keras_curvature as kc
        >>> from keras.ops import relu
        >>> found = kc.kinks(lambda x: relu(x - 0.5) - 3 * relu(x + 0.5), -1, 1)
        >>> found.positions
        array([-0.5,  0.5])
        >>> found.slope_changes[:, 0]
        array([-3.,  1.])
    """
    try:
        left, right = float(low), float(high)
    except (TypeError, ValueError):  # Python's own do not say of what
        left = right = math.nan
    if not (math.isfinite(left) and math.isfinite(right) and left < right):
        raise ValueError(
            f"`low` and `high` must be finite numbers, low < high. Received: {low}, {high}."
        )
    low, high = left, right
    require_eager("kinks")
    batch, *shape = _input_shape(model)
    x = np.resize([low, high], (2 * (batch or 1), *shape))
    bound = bind(model, x, Options(output), in_float64=True)
    f = bound.f
    if f.batch is not None:
        raise ValueError(
            f"`kinks` needs a model of any number of examples. Received: one of {f.batch} at a "
            "time. Build it without `batch_size`, and copy the weights."
        )
    with computing_in("float64"):
        points = _breakpoints(f, low, high)
        slopes = _certified_slopes(bound, points)
        changes = np.diff(slopes, axis=0)
        changes[np.abs(changes) <= NEGLIGIBLE * np.abs(slopes).max()] = 0
        real = changes.any(axis=1)
        by_output = unflatten(xp.constant(changes[real]), f.outputs)
        return Kinks(
            low=low,
            high=high,
            positions=points[1:-1][real],
            slope_changes=keras.tree.map_structure(xp.to_numpy, by_output),
        )


def _input_shape(model: Model) -> tuple[Any, ...]:
    """The shape of batches of the model's one number."""
    inputs = getattr(model, "inputs", None)
    shapes = [tuple(tensor.shape) for tensor in inputs] if inputs else [(None, 1)]
    if len(shapes) > 1 or any(size != 1 for size in shapes[0][1:]):
        raise ValueError(
            "`kinks` needs a model of one number. Received: a model of inputs "
            f"{[shape[1:] for shape in shapes]}. To "
            "follow a straight line through them, give a function of the way along it: "
            "`lambda t: model(start + t * (end - start))`."
        )
    return shapes[0]


def _breakpoints(f: FlatFunction, low: float, high: float) -> Array:
    """Ends between which no operation switches, `low` and `high` included."""
    resolution = RESOLUTION * max(abs(low), abs(high))
    points, switches = np.array([low, high]), switches_of(f)
    for i in range(len(switches(xp.constant(points[:, None])))):
        crossings = [_crossings(*part) for part in _switching(f, switches, points, i)]
        points = _distinct(np.concatenate([points, *crossings]), resolution)
    return points


def _switching(
    f: FlatFunction, switches: Callable[[Tensor], list[Tensor]], points: Array, i: int
) -> Iterator[tuple[Array, Array]]:
    """Consecutive points, and at them what changes its sign where operation `i` switches."""
    size = max(1, f.rows_at_once(vectors=0))
    for start in range(0, len(points) - 1, size):
        part = points[start : start + size + 1]
        yield part, xp.to_numpy(switches(xp.constant(part[:, None]))[i])


def _crossings(points: Array, values: Array) -> Array:
    """Where values `(points, units)`, linear between the points, cross 0 between two of them."""
    if not np.isfinite(values).all():
        raise ValueError("The model's values are not finite: look for NaN or infinity in weights.")
    before, behind = values[:-1], values[1:]
    piece, unit = np.nonzero(np.sign(before) * np.sign(behind) < 0)
    before, behind = before[piece, unit], behind[piece, unit]
    return points[piece] + (points[piece + 1] - points[piece]) * (before / (before - behind))


def _distinct(points: Array, resolution: float) -> Array:
    """Sorted, with those in one place replaced by their mean; the ends stay."""
    points = np.sort(points)
    place = np.concatenate([[0], np.cumsum(np.diff(points) > resolution)])
    centres = np.bincount(place, weights=points) / np.bincount(place)
    centres[[0, -1]] = points[[0, -1]]
    return centres


def _certified_slopes(bound: BoundModel, points: Array) -> Array:
    """The slopes between `points`, `(pieces, m)`, if the function is a line on each piece."""
    f = bound.f
    rows = chunking.rows_at_once(f.activity.activations + 2, f.dtype)
    size = max(1, rows // f.outputs.width)

    def compute(z: Tensor) -> dict[str, Tensor]:
        value, jacobian = value_and_jacobian(f, z, ())
        return {"value": value, "slope": jacobian[:, :, 0]}

    def at(places: Array) -> tuple[Array, Array]:
        z = xp.constant(places[:, None])
        found = run_chunked(bound, compute, [z], size, {}, once=True)
        return xp.to_numpy(found["value"]), xp.to_numpy(found["slope"])

    value, slope = at((points[:-1] + points[1:]) / 2)
    ends, _ = at(points)
    half = np.diff(points)[:, None] / 2
    off = np.maximum(
        np.abs(value - half * slope - ends[:-1]), np.abs(value + half * slope - ends[1:])
    )
    allowed = CERTAINTY * (np.abs(ends).max() + np.abs(slope).max() * (points[-1] - points[0]))
    if not off.max() <= allowed:
        worst = int(off.max(axis=1).argmax())
        raise ValueError(
            "The model is not continuous and piecewise linear: between "
            f"{points[worst]:.6g} and {points[worst + 1]:.6g} its values lie up to "
            f"{off.max():.3g} off the line through the middle. A function that jumps "
            "(a threshold, a step) has no second derivative that its kinks could tell."
        )
    return slope
