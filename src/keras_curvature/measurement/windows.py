"""Second derivatives averaged over windows: differences at a scale."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import Engine, Layout, xp
from keras_curvature.engines.backend import FlatFunction, tiled, value_and_jacobian
from keras_curvature.typing import Array, Tensor

AUTO_FRACTION = 0.25
"""`scale="auto"` in standard deviations of an input.

Wide enough to hold many kinks of a ReLU network, whose curvature at a smaller scale is
noise point by point, and narrow against the whole range of the data.
"""

RISE, BEND = "rise", "bend"
"""Difference quotients of first and second order over a window."""


def along_axes(
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    h: Tensor,
    at_once: int,
    kernel: str = "triangle",
) -> Tensor:
    """Averages the second derivative along each input, shape `(n, m, s, d)`.

    Args:
        f: the function.
        z: points, shape `(n, d)`.
        rest: the function's other inputs.
        h: half-widths of the windows, shape `(n, s, d)`.
        at_once: how many windows of a point to go through together.
        kernel: of `KERNELS`.
    """
    n, s, d = xp.lengths(z)[0], h.shape[1], h.shape[2]
    steps = xp.transpose(xp.reshape(h, [-1, s * d]))
    parts = []
    for start in range(0, s * d, at_once):
        some = steps[start : start + at_once]
        axes = xp.cast(xp.one_hot(xp.arange(start, start + some.shape[0]) % d, d), z.dtype)
        directions = xp.tile(axes[:, None], [1, n, 1])
        parts.append(KERNELS[kernel](f, z, rest, directions, some))
    return xp.reshape(xp.concatenate(parts, axis=2), [-1, f.outputs.width, s, d])


def along_direction(
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    h: Tensor,
    v: Tensor,
    at_once: int,
    kernel: str = "triangle",
) -> Tensor:
    """The same along one direction `v` `(n, d)` per point, shape `(n, m, s)`.

    The window ends where `x + tv` leaves the ellipsoid with half-axes `h`, which is at `h`
    itself along an axis, and at the distance `h` where all are the same.
    """
    length = xp.norm(v[:, None] / h, axis=2)
    steps = xp.transpose(1 / xp.where(length > 0, length, xp.ones_like(length)))
    parts = []
    for start in range(0, h.shape[1], at_once):
        some = steps[start : start + at_once]
        directions = xp.tile(v[None], [some.shape[0], 1, 1])
        parts.append(KERNELS[kernel](f, z, rest, directions, some))
    return xp.concatenate(parts, axis=2)


def resolve(scale: Any, layout: Layout, spread_of_inputs: Any) -> Tensor:
    """One positive number per input, shape `(d,)`, from what the user gave for one scale.

    Args:
        scale: `"auto"`, a number, an array in the shape of one example, or of several inputs a
            dict of these by name.
        layout: how the inputs lie.
        spread_of_inputs: called for the standard deviations where they are needed.
    """
    if isinstance(scale, str):
        if scale != "auto":
            raise ValueError(_message(scale, layout))
        return AUTO_FRACTION * spread_of_inputs()
    values = _along_each(scale, layout)
    if not (np.all(np.isfinite(values)) and np.all(values > 0)):
        raise ValueError(_message(scale, layout))
    if values.ndim and values.size != layout.width:
        raise ValueError(_message(scale, layout))
    return xp.array(np.broadcast_to(values.reshape(-1), [layout.width]))


def _along_each(scale: Any, layout: Layout) -> NDArray[np.float64]:
    array = isinstance(scale, (list, tuple)) or (isinstance(scale, np.ndarray) and scale.ndim > 0)
    by_name = isinstance(scale, Mapping) or (array and not layout.ordered)
    given = layout.in_order(scale, "`scale`") if by_name else [scale]
    try:
        parts = [xp.to_numpy(part, np.float64) for part in given]
    except (TypeError, ValueError) as error:
        raise TypeError(_message(scale, layout)) from error
    if not by_name:
        return parts[0]
    sized = list(zip(parts, layout.sizes, strict=True))
    if any(part.size not in (1, size) for part, size in sized):
        raise ValueError(_message(scale, layout))
    return np.concatenate([np.broadcast_to(part.reshape(-1), [size]) for part, size in sized])


def spread(z: Tensor) -> Tensor:
    """The standard deviation of each column, 1 where it does not vary."""
    deviation = xp.std(z, axis=0)
    varies = xp.max(z, axis=0) > xp.min(z, axis=0)
    return xp.where(varies & (deviation > 0), deviation, xp.ones_like(deviation))


def moved(z: Tensor) -> Tensor:
    """The same, but 0 where it does not vary beside others that do: how far, nobody knows.

    An adapted `Normalization` scales up a constant column by 1e7. Moved by any length that others
    are moved by, it would outweigh them, and whatever is smooth would look like a kink.
    """
    varies = xp.max(z, axis=0) > xp.min(z, axis=0)
    deviation = spread(z)
    return xp.where(varies | ~xp.any(varies), deviation, xp.zeros_like(deviation))


def fitting(z: Array, centres: Array, scale: Array) -> tuple[Array, Array]:
    """From where to where along each input windows stay inside the range of the points `z`.

    Outside it the model extrapolates, which is not what a curvature at a scale asks about. An
    input whose every window sticks out (it has two values, say) is not restricted.

    Args:
        z: points, shape `(n, d)`.
        centres: of the windows, shape `(k, d)`.
        scale: half-widths of the windows, shape `(d,)`.

    Returns:
        The first and the last place of a centre, each `(d,)`.
    """
    low, high = z.min(axis=0), z.max(axis=0)
    slack = 1e-6 * (high - low)  # a window that just touches the end is inside
    first, last = low + scale - slack, high - scale + slack
    free = ~((centres >= first) & (centres <= last)).any(axis=0)
    return np.where(free, low, first), np.where(free, high, last)


def warn_of_wide(scale: Array, points: Array, ends: Array) -> None:
    """Says where no window of a user's scale lies inside the range of the probe."""
    reach = np.ptp(points, axis=0)
    wide = np.flatnonzero((2 * scale > reach * (1 + 1e-6)) & (reach > 0) & ~np.isfinite(ends[:, 0]))
    if len(wide):
        i = int(wide[0])
        others = f" and of {len(wide) - 1} more" if len(wide) > 1 else ""
        warnings.warn(
            f"`scale` is wider than the probe: of input {i} a window of {scale[i]:.4g} to both "
            f"sides does not fit into its range of {reach[i]:.4g}{others}. What is measured there "
            "is how the model extrapolates. Half of the range fits at one point, a quarter of a "
            "standard deviation is the default.",
            stacklevel=2,
        )


def _message(scale: Any, layout: Layout) -> str:
    shapes: Sequence[Any] = layout.shapes if len(layout.shapes) > 1 else layout.shapes[0]
    return (
        "`scale` must be 'auto', a positive number, positive numbers in the shape of one "
        f"example {shapes}, or of several inputs a dict of these by name; a list of these for "
        f"several scales. Received: {scale!r}."
    )


def second_difference(behind: Any, here: Any, ahead: Any) -> Any:
    """`behind - 2 here + ahead`, of arrays or tensors.

    The three lie close together, so that both differences are exact (Sterbenz, Floating-Point
    Computation, 1974) and only their sum rounds; `ahead - 2 here` may round by itself.
    """
    return (ahead - here) + (behind - here)


def second_differences(
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    directions: Tensor,
    steps: Tensor,
) -> Tensor:
    """`(f(x + tv) - 2 f(x) + f(x - tv)) / t**2`, shape `(n, m, k)`.

    This is the second derivative along `v`, kinks included, averaged over `[x - tv, x + tv]`
    with triangular weights `max(0, 1 - |s| / t) / t`: the Peano kernel of the central second
    difference (Davis, Interpolation and Approximation, 1975, section 3.7).

    Args:
        f: the function.
        z: points `x`, shape `(n, d)`.
        rest: the function's other inputs.
        directions: `v`, shape `(k, n, d)`.
        steps: `t`, shape `(k, n)`.
    """
    k, n = xp.lengths(directions)[0], xp.lengths(z)[0]
    moves = steps[..., None] * directions
    rows = xp.concatenate([z[None] + moves, z[None] - moves, z[None]], axis=0)
    y = f(xp.reshape(rows, [-1, f.inputs.width]), [tiled(r, 2 * k + 1) for r in rest])
    y = xp.reshape(y, [2 * k + 1, n, f.outputs.width])
    ahead, behind, here = y[:k], y[k:-1], y[-1]
    change = second_difference(behind, here, ahead)
    return xp.transpose(change / steps[..., None] ** 2, [1, 2, 0])


def slope_differences(
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    directions: Tensor,
    steps: Tensor,
) -> Tensor:
    """`v . (g(x + tv) - g(x - tv)) / 2t` with exact gradients `g`, shape `(n, m, k)`.

    The second derivative along `v`, kinks included, averaged over `[x - tv, x + tv]` with
    equal weights: the fundamental theorem of calculus. Arguments as for `second_differences`.
    """
    k, n = xp.lengths(directions)[0], xp.lengths(z)[0]
    moves = steps[..., None] * directions
    rows = xp.reshape(xp.stack([z[None] + moves, z[None] - moves]), [-1, f.inputs.width])
    _, gradients = value_and_jacobian(f, rows, [tiled(r, 2 * k) for r in rest])
    ahead, behind = xp.unstack(xp.reshape(gradients, [2, k, n, f.outputs.width, f.inputs.width]))
    change = (ahead - behind) / (2 * steps[..., None, None])
    return xp.transpose(xp.sum(change * directions[:, :, None], axis=-1), [1, 2, 0])


def exact_and_averaged(
    engine: Engine[Any],
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    unit: Tensor,
    reach: Tensor,
    low: Tensor,
    high: Tensor,
) -> dict[str, Tensor]:
    """First and second derivatives along some inputs, at points and averaged over windows.

    A window that would stick out of the range is moved inside, so that every point lies in one
    and nothing is said of where there are no data. Of a function that increases both first
    derivatives are positive, of a convex one both second ones, wherever its kinks are.

    Args:
        engine: for the derivatives at the points.
        f: the function.
        z: the points, `(n, d)`.
        rest: its other inputs.
        unit: steps of one standard deviation along each of the inputs, `(k, d)`.
        reach: half-widths of the windows in these, at most half the range, `(k,)`.
        low: where the range of each begins, `(k,)`.
        high: where it ends; may be infinite.

    Returns:
        `slope`, `curvature`, `rise` and `bend`, per standard deviation of the input, each
        `(n, m, k)`, and the `value` `(n, m)`. Over a range of no width there is no difference: 0.
    """
    unit, reach, low, high = (xp.cast(part, z.dtype) for part in (unit, reach, low, high))
    n, k = xp.lengths(z)[0], unit.shape[0]
    exact = engine.along(f, z, rest, xp.tile(unit[:, None], [1, n, 1]))
    axis = xp.cast(unit != 0, z.dtype)
    place = xp.matmul(axis, z, transpose_b=True)  # of each point on each of the inputs
    room = (reach * xp.sum(unit, axis=1))[:, None]
    centre = xp.clip(place, low[:, None] + room, high[:, None] - room)
    around = z[None] + (centre - place)[..., None] * axis[:, None]
    step = (reach[:, None] * unit)[:, None]
    rows = xp.reshape(xp.stack([around - step, around, around + step]), [-1, f.inputs.width])
    values = xp.reshape(f(rows, [tiled(r, 3 * k) for r in rest]), [3, k, n, f.outputs.width])
    behind, here, ahead = xp.unstack(xp.transpose(values, [0, 2, 3, 1]))
    return exact | {
        RISE: xp.divide_no_nan(ahead - behind, 2 * reach),
        BEND: xp.divide_no_nan(second_difference(behind, here, ahead), reach**2),
    }


KERNELS = {
    "triangle": second_differences,
    "box": slope_differences,
}
