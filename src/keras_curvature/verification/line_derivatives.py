"""Derivatives along a straight line from values on it, and how far each is to be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_curvature.measurement.windows import second_difference
from keras_curvature.typing import Array
from keras_curvature.verification.stencils import weights

IN_DOUBT = 2.0
"""How many times its doubt a difference may be off."""

PAIRS = 4
"""Of values, before and behind, in a difference: first and second ones are so of order 8.

With a step of 1/32 of what a function bends over they are off by 1e-13.
"""

LONGEST, HALVINGS = 0.125, 12
"""Steps, in lengths of the direction, from the longest on, each half the one before.

The differences reach four steps far. The long ones serve smooth models and those that round to
float32, the shortest look 1e-4 far and so pass between the kinks of most networks.
"""

STEPS: Array = LONGEST * 0.5 ** np.arange(HALVINGS + 1)

_MULTIPLES = np.arange(1, PAIRS + 1)
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
    return derivative(values, noise, 1)


def second(values: Array, noise: Array) -> Estimate:
    """The second derivative in the middle of lines; arguments as for `first`."""
    return derivative(values, noise, 2)


def derivative(values: Array, noise: Array, k: int) -> Estimate:
    """The derivative of order `k`, 1 to 4, in the middle of lines; arguments as for `first`."""
    found, coarser = (_differences(values, k, pairs) for pairs in (PAIRS, PAIRS - 1))
    odd = k % 2
    rounding = (2 if odd else 4) * np.abs(weights(k, PAIRS)).sum() * noise / _per_step(k)
    change = _change(found) + np.abs(found - coarser)[:-1]
    if odd:
        # A kink right in the middle is even: the mean of both slopes looks like a derivative at
        # every step. It shows in the next differences, which double when the step is halved.
        change += _per_step(1)[:-1] * _change(_differences(values, k + 1, PAIRS))
    if k == 2:
        # So it is with a jump of the second derivative, which is odd: ELU, relu(x) squared.
        third = _per_step(1)[:-1] * _change(_differences(values, 3, PAIRS))
        noisy = 2 * np.abs(weights(3, PAIRS)).sum() * noise * _per_step(1)[:-1] / _per_step(3)[1:]
        change += np.maximum(third - 2 * noisy, 0.0)
    return _best(found, change, rounding)


def _differences(values: Array, k: int, pairs: int) -> Array:
    """Difference quotients of order `k`, `(steps, lines, outputs)`."""
    ahead, behind = _sides(values, pairs)
    here = values[:, None, None, 0]
    parts = ahead - behind if k % 2 else second_difference(behind, here, ahead)
    return np.einsum("j,lsjk->slk", weights(k, pairs), parts) / _per_step(k)


def _sides(values: Array, pairs: int) -> tuple[Array, Array]:
    """Values ahead and behind, `(lines, steps, pairs, outputs)`."""
    ahead = _AHEAD[:, :pairs]
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
