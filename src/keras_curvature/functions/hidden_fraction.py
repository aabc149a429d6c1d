"""How much of a model's curvature its exact second derivative does not see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import (
    BoundModel,
    Options,
    bind,
    run_chunked,
    unflatten,
    xp,
)
from keras_curvature.engines.backend import computing_in, require_eager
from keras_curvature.engines.quantities import DIRECTIONAL
from keras_curvature.measurement import segments
from keras_curvature.measurement import windows as scales
from keras_curvature.typing import Array, Columns, Model, Output, Structure, Tensor, Wrt

WINDOWS = 64
"""How many windows are looked at in random directions, or along each axis."""


def hidden_fraction(
    model: Model,
    x: Structure,
    scale: Any = "auto",
    *,
    along: str = "random",
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    batch_size: int | None = None,
) -> Any:
    """Computes the share of the change of slope that the exact second derivative misses.

    Across a window the slope changes by the integral of the second derivative. Where a
    network has kinks it changes by more, since no derivative sees them. In each of 6 pieces of
    each window, the change of the exact slope is set against the integral of the exact second
    derivative by Gauss quadrature:

    `sum |change - integral| / sum max(|change|, |integral|)`

    1 for a ReLU network, 0 for a smooth one and for a straight line, between where both have
    their part. What the quadrature may be off by does not count as missed, and neither does
    rounding. `CurvatureMonitor` logs the same along straight lines between probe points.

    Everything is computed in float64, at a cost that does not grow with `x`: 64 windows, or 64
    for each input.

    Args:
        model: see `keras_curvature.derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`, which the windows are centred at.
        scale: half the width of the windows, one scale as in `scale_curvature`. With `"auto"` an
            input that is the same at all points, beside others that are not, is not moved.
        along: `"random"`, one number for all inputs together from windows in random
            directions; or `"axes"`, one for each input from windows along it.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: how.
        batch_size: windows at a time.

    Returns:
        A float64 array of shape `output_shape`, or `(*output_shape, *input_shape)` along axes;
        in the model's own structure where it has several inputs or outputs. NaN along an input
        that is not moved.

    Raises:
        ValueError: for an unknown `along`, and a scale that is not positive or of a wrong
            shape.

    Example:
        >>> import keras_curvature as kc
        >>> x = keras.ops.linspace(-1.0, 1.0, 50)[:, None]
        >>> kc.hidden_fraction(keras.ops.relu, x)
        array([1.])
        >>> kc.hidden_fraction(keras.ops.silu, x)
        array([0.])
    """
    if along not in ("random", "axes"):
        raise ValueError(f"`along` must be 'random' or 'axes'. Received: {along!r}.")
    require_eager("hidden_fraction")
    options = Options(output, wrt, engine, batch_size=batch_size, columns=columns)
    bound = bind(model, x, options, in_float64=True)
    with computing_in("float64"):
        return _shares(bound, scale, along, batch_size)


def _shares(bound: BoundModel, scale: Any, along: str, batch_size: int | None) -> Any:
    """What `hidden_fraction` gives of a model that has been traced."""
    f = bound.f
    z, rest = f.point(bound.inputs.leaves)
    h = xp.to_numpy(scales.resolve(scale, f.inputs, lambda: scales.moved(z)))
    rows = np.resize(np.random.default_rng(0).permutation(len(z)), WINDOWS)
    moves = _axes(h) if along == "axes" else _random(h)
    centres = np.tile(xp.to_numpy(z)[rows], (len(moves) // WINDOWS, 1))
    others = [xp.take(r, np.tile(rows, len(moves) // WINDOWS)) for r in rest]
    found = _along(bound, centres - moves, centres + moves, others, batch_size)
    shares = np.array(
        [
            [_share(found, slice(start, start + WINDOWS), j) for j in range(f.outputs.width)]
            for start in range(0, len(moves), WINDOWS)
        ]
    )  # (groups of windows, m)
    layouts = (f.outputs, f.inputs) if along == "axes" else (f.outputs,)
    flat = shares.T if along == "axes" else shares[0]
    return keras.tree.map_structure(
        lambda part: xp.to_numpy(part[0]), unflatten(xp.constant(flat[None]), *layouts)
    )


def _axes(h: Array) -> Array:
    """From the middle to the end of each window: `WINDOWS` along each input in turn."""
    return np.repeat(np.diag(h), WINDOWS, axis=0)


def _random(h: Array) -> Array:
    """The same in directions uniform in units of `h`, where all windows are equally long."""
    directions = np.random.default_rng(1).normal(size=(WINDOWS, len(h))) * (h > 0)
    return h * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _along(
    bound: BoundModel,
    start: Array,
    end: Array,
    rest: Sequence[Tensor],
    batch_size: int | None,
) -> dict[str, Array]:
    """What `segments.along` gives, in chunks."""
    f, engine = bound.f, bound.engine_for((DIRECTIONAL,))

    def compute(start: Tensor, end: Tensor, *rest: Tensor) -> dict[str, Tensor]:
        spread = xp.ones([f.inputs.width], f.dtype)
        return segments.along(engine, f, start, end, rest, spread)

    at_once = f.rows_at_once()
    size = batch_size or max(1, at_once // segments.rows_of_one(f))
    tensors = [xp.constant(start, f.dtype), xp.constant(end, f.dtype), *rest]
    found = run_chunked(bound, compute, tensors, size, {})
    return {name: xp.to_numpy(part) for name, part in found.items()}


def _share(found: dict[str, Array], windows: slice, output: int) -> float:
    one = slice(output, output + 1)
    return segments.segments_of(found, one, windows).hidden_fraction()
