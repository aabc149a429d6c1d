"""The learned function along straight lines between probe points.

What happens between the points tells what no pointwise derivative can: how much the slope
really changes, and how much of that the exact second derivative accounts for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import Engine, xp
from keras_curvature.engines.backend import FlatFunction
from keras_curvature.engines.quantities import DIRECTIONAL
from keras_curvature.measurement.segment_slopes import Segments
from keras_curvature.typing import Array, Tensor

SEGMENTS, PIECES = 20, 6
"""Straight lines between probe points, and the pieces that each is cut into.

Few against the rows that the Hessian takes. Where the curvature is uneven `slope_change` is still a
tenth to a third off its mean over all lines, as its standard error says.
"""


def _rule(points: Array) -> Array:
    """Weights with which values at `points` integrate polynomials over [0, 1]."""
    powers = np.arange(len(points))
    return np.linalg.solve(points ** powers[:, None], 1 / (powers + 1))


GAUSS_POINTS = (1 + np.polynomial.legendre.leggauss(4)[0]) / 2
"""Quadrature on [0, 1] that is exact up to degree 7.

With two points instead of four, and pieces that are most of a standard deviation long, half
of the curvature of sin(12 x) looks hidden.
"""

RULE, RULE_WITHOUT_ONE = _rule(GAUSS_POINTS), np.insert(_rule(np.delete(GAUSS_POINTS, 1)), 1, 0)
"""Gauss's weights, and those of another rule on three of the points.

The rules disagree where the second derivative wavers between the points or jumps, and neither
can be believed there.
"""


def along(
    engine: Engine[Any],
    f: FlatFunction,
    start: Tensor,
    end: Tensor,
    rest: Sequence[Tensor],
    spread: Tensor,
    pieces: int = PIECES,
) -> dict[str, Tensor]:
    """Slopes and integrals of the curvature on the lines from `start` to `end`, `(s, d)`."""
    m = f.outputs.width
    step = end - start
    length = xp.norm(step, axis=1)
    safe = xp.where(length > 0, length, xp.ones_like(length))
    unit = step / safe[:, None]
    knots = np.arange(pieces + 1) / pieces
    gauss = (np.arange(pieces)[:, None] + GAUSS_POINTS).reshape(-1) / pieces

    def points(fractions: Array) -> tuple[Tensor, list[Tensor], Tensor]:
        t = xp.constant(fractions, dtype=start.dtype)[None, :, None]
        rows = xp.reshape(start[:, None] + t * step[:, None], [-1, f.inputs.width])
        count = len(fractions)
        return rows, [xp.repeat(r, count, axis=0) for r in rest], xp.repeat(unit, count, axis=0)

    z, others, u = points(knots)
    slopes = engine.slopes(f, z, others, u)
    z, others, u = points(gauss)
    curvature = engine.compute(f, z, others, u, (DIRECTIONAL,), 1)[DIRECTIONAL]
    curvature = xp.reshape(curvature, [-1, pieces, len(GAUSS_POINTS), m])
    piece = length[:, None, None] / pieces
    integrals, others = (
        xp.sum(xp.constant(rule[:, None], z.dtype) * curvature, axis=2) * piece
        for rule in (RULE, RULE_WITHOUT_ONE)
    )
    return {
        "lengths": length,
        "standard_lengths": xp.norm(step / xp.cast(spread, step.dtype), axis=1),
        "slopes": xp.reshape(slopes, [-1, pieces + 1, m]),
        "integrals": integrals,
        "errors": xp.abs(integrals - others),
    }


def segments_of(
    found: Mapping[str, Array], outputs: slice = slice(None), lines: slice = slice(None)
) -> Segments:
    """Some of the outputs, on some of the lines, of what `along` has found."""
    return Segments(
        lengths=found["lengths"][lines],
        standard_lengths=found["standard_lengths"][lines],
        slopes=found["slopes"][lines, :, outputs],
        curvature_integrals=found["integrals"][lines, :, outputs],
        integration_errors=found["errors"][lines, :, outputs],
    )


def rows_of_one(f: FlatFunction) -> int:
    """How many rows of second derivatives one segment takes."""
    return PIECES * len(GAUSS_POINTS) * f.outputs.width


def pairs(n: int, lines: int = SEGMENTS) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Indices of the ends of the segments: distinct points, the same for every epoch."""
    order = np.random.default_rng(0).permutation(n)
    if n < 2:
        return order, order
    # Each point with the one after it in a random order, the last with the first.
    return order[:lines], np.roll(order, -1)[:lines]
