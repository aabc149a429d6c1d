"""Derivatives along a straight line from values on it, and how far each is to be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_curvature.measurement.windows import second_difference
from keras_curvature.typing import Array
from keras_curvature.verification.stencils import first_weights, second_weights

IN_DOUBT = 2.0
"""How many times its doubt a difference may be off."""

ORDER = 8
"""Of the differences: with a step of 1/32 of what a function bends over they are off by 1e-13."""

LONGEST, HALVINGS = 0.125, 12
"""Steps, in lengths of the direction, from the longest on, each half the one before.

The differences reach four steps far. The long ones serve smooth models and those that round to
float32, the shortest look 1e-4 far and so pass between the kinks of most networks.
"""

STEPS: Array = LONGEST * 0.5 ** np.arange(HALVINGS + 1)

_MULTIPLES = np.arange(1, ORDER // 2 + 1)
_REACH = np.unique(STEPS[:, None] * _MULTIPLES)

PLACES: Array = np.concatenate([[0.0], _REACH, -_REACH])
"""Where on the line values are wanted; powers of 2 apart, most of them serve several steps."""

_AHEAD = 1 + np.searchsorted(_REACH, STEPS[:, None] * _MULTIPLES)


@dataclass(frozen=True, eq=False)
class Estimate:
    """What differences say a derivative is.

    Attributes:
        value: the derivative.
        doubt: how far off that may be, in the same shape; never less than what rounding does.
        rounding: the part of the doubt that is rounding.
    """

    value: Array
    doubt: Array
    rounding: Array

    def times(self, factor: Array) -> Estimate:
        """The estimate in other units."""
        size = np.abs(factor)
        return Estimate(self.value * factor, self.doubt * size, self.rounding * size)

    def sum(self, axis: int) -> Estimate:
        """Of all estimates along an axis, in doubt of all of them."""
        return Estimate(self.value.sum(axis), self.doubt.sum(axis), self.rounding.sum(axis))

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two, in doubt of both."""
        return Estimate(
            self.value - other.value, self.doubt + other.doubt, self.rounding + other.rounding
        )


def first(values: Array, noise: Array) -> Estimate:
    """The first derivative in the middle of lines.

    Args:
        values: at `PLACES`, `(lines, places, outputs)`.
        noise: rounding in one value, `(outputs,)`.
    """
    found, coarser = (_slopes(values, order) for order in (ORDER, ORDER - 2))
    rounding = 2 * np.abs(first_weights(ORDER)).sum() * noise / _per_step(1)
    # A kink right in the middle is even: the mean of both slopes looks like a derivative at every
    # step. It shows in second differences, which double when the step is halved.
    gap = _per_step(1)[:-1] * _change(_curvatures(values, ORDER))
    return _best(found, _change(found) + np.abs(found - coarser)[:-1] + gap, rounding)


def second(values: Array, noise: Array) -> Estimate:
    """The second derivative in the middle of lines; arguments as for `first`."""
    found, coarser = (_curvatures(values, order) for order in (ORDER, ORDER - 2))
    rounding = 4 * np.abs(second_weights(ORDER)).sum() * noise / _per_step(2)
    return _best(found, _change(found) + np.abs(found - coarser)[:-1], rounding)


def _slopes(values: Array, order: int) -> Array:
    """First differences, `(steps, lines, outputs)`."""
    ahead, behind = _sides(values, order)
    return np.einsum("j,lsjk->slk", first_weights(order), ahead - behind) / _per_step(1)


def _curvatures(values: Array, order: int) -> Array:
    """Second differences, `(steps, lines, outputs)`."""
    ahead, behind = _sides(values, order)
    here = values[:, None, None, 0]
    pairs = second_difference(behind, here, ahead)
    return np.einsum("j,lsjk->slk", second_weights(order), pairs) / _per_step(2)


def _sides(values: Array, order: int) -> tuple[Array, Array]:
    """Values ahead and behind, `(lines, steps, order / 2, outputs)`."""
    ahead = _AHEAD[:, : order // 2]
    return values[:, ahead], values[:, ahead + len(_REACH)]


def _per_step(power: int) -> Array:
    return STEPS[:, None, None] ** power


def _change(found: Array) -> Array:
    """What halving each step changes, for all steps but the last."""
    return np.abs(np.diff(found, axis=0))


def _best(found: Array, change: Array, rounding: Array) -> Estimate:
    """At each place the step that is least in doubt.

    The doubt is what halving the step changes, and what a lower order changes, and rounding. A
    smooth function is known far better than that; a kink, a jump or a pole within reach leaves
    its trace in both changes at every step. Steps over which the function has reached its limits
    agree with each other, and are in doubt by as much as shorter ones contradict them.
    """
    found, rounding = found[:-1], np.broadcast_to(rounding[:-1], change.shape)
    doubt = np.where(np.isfinite(change), change + rounding, np.inf)
    contradicted = [
        (np.abs(here - found[i:]) - IN_DOUBT * doubt[i:]).max(axis=0, initial=0.0, where=known[i:])
        for known in [np.isfinite(found) & np.isfinite(doubt)]
        for i, here in enumerate(found)
    ]
    doubt = np.fmax(doubt, contradicted)
    best = doubt.argmin(axis=0)[None]
    value, doubt, rounding = (
        np.take_along_axis(a, best, axis=0)[0] for a in (found, doubt, rounding)
    )
    return Estimate(value, doubt, rounding)
