"""Inputs that have two values in the probe, as 0 and 1: what the change from one to the other does.

A second derivative along such an input says how the model bends between its values and beyond them,
where no data ever lies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_curvature.engines.api import xp
from keras_curvature.engines.backend import FlatFunction, tiled, value_and_jacobian
from keras_curvature.engines.quantities import VALUE
from keras_curvature.typing import Array, Tensor

CHANGES, CHANGE_ROWS = "changes", "change_rows"
"""Under what names they are found."""

FEWEST_POINTS = 4
"""Of a probe that can tell such an input: any input of two or three points may have two values."""


def ends(z: Array) -> Array:
    """The two values of each input that has no others, NaN for the rest, shape `(d, 2)`.

    Args:
        z: points, shape `(n, d)`.
    """
    low, high = z.min(axis=0), z.max(axis=0)
    two = (low < high) & ((z == low) | (z == high)).all(axis=0) & (len(z) >= FEWEST_POINTS)
    return np.where(two[:, None], np.stack([low, high], axis=1), np.nan)


def changes(
    f: FlatFunction,
    z: Tensor,
    rest: Sequence[Tensor],
    inputs: tuple[int, ...],
    between: Tensor,
    at_once: int,
    *,
    rows: bool,
) -> dict[str, Tensor]:
    """What one input at a time changes from its lower value to its higher one.

    Args:
        f: the function.
        z: points, shape `(n, d)`.
        rest: the function's other inputs.
        inputs: which of them have two values, `k` in number.
        between: the two values of each, exactly as in `z`, shape `(k, 2)`.
        at_once: of how many inputs together.
        rows: whether to take the slopes too.

    Returns:
        The `value` `(n, m)` and the `changes` of it, `(n, m, k)`; with `rows` also `change_rows`,
        the change of the slope along each input over the way, `(n, m, k, d)`: a row of the
        Hessian, averaged over the way from one value to the other, kinks included.
    """
    columns, between = xp.transpose(z), xp.cast(between, z.dtype)
    m, d = f.outputs.width, f.inputs.width
    take = value_and_jacobian if rows else _value
    value, *slope = take(f, z, rest)
    changed, bent = [], []
    for start in range(0, len(inputs), at_once):
        some = inputs[start : start + at_once]
        low, high = xp.split(between[start : start + at_once], [1, 1], axis=1)
        own = xp.take(columns, some)  # `(inputs, n)`
        # Not by a step, which would round: a model may ask whether it is this very value.
        other = xp.where(own == low, high, low)
        axis = xp.one_hot(xp.constant(some), d)[:, None]
        moved = xp.reshape(xp.where(axis, other[..., None], z), [-1, d])
        there, *slopes = take(f, moved, [tiled(r, len(some)) for r in rest])
        step = other - own
        changed.append((xp.reshape(there, [len(some), -1, m]) - value) * xp.sign(step)[..., None])
        if rows:
            bend = xp.reshape(slopes[0], [len(some), -1, m, d]) - slope[0]
            bent.append(bend / step[..., None, None])
    found = {VALUE: value, CHANGES: xp.transpose(xp.concatenate(changed, axis=0), [1, 2, 0])}
    if rows:
        found[CHANGE_ROWS] = xp.transpose(xp.concatenate(bent, axis=0), [1, 2, 0, 3])
    return found


def _value(f: FlatFunction, z: Tensor, rest: Sequence[Tensor]) -> tuple[Tensor]:
    return (f(z, rest),)
