"""What the parts of a network do at the examples: which units switch, which let nothing pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.diagnosis.activations import Part
from keras_curvature.diagnosis.subject import Mixed, Subject
from keras_curvature.engines.api import Inside, normal, xp
from keras_curvature.engines.backend import inside
from keras_curvature.typing import Array, Tensor

UNEVEN = 1.5
"""The last unit's slope is told in this unit, the first one's in 1, and evenly between."""

CHANGED = 1e-3
"""Change of a unit's own slope, of about 1, from which the unit has switched."""


@dataclass(frozen=True)
class State:
    """What the units of one part do at some points.

    Attributes:
        part: which part.
        units: how many it has.
        switching: how many have another slope at one point than at another.
        off: how many let no derivative pass at any of the points.
        blocked: at which points the part lets no derivative pass, while what follows does, `(n,)`.
        flat: at which points all its units have the slope 0, `(n,)`.
        beyond: share of the units, at all points, whose slope is 1 to the last bit, and of those
            whose slope is 0 beside 1.
        signature: a mixture of the units' slopes, `(n,)`: it jumps where one of them switches.
    """

    part: Part
    units: int
    switching: int
    off: int
    blocked: NDArray[np.bool_]
    flat: NDArray[np.bool_]
    beyond: tuple[float, float]
    signature: Array


def look(
    s: Subject, f: Mixed, parts: Sequence[Part], z: Tensor, rest: Sequence[Tensor]
) -> list[State]:
    """The states of all parts that can be looked at, at points that fit into memory at once.

    Of a layer in a loop the graph itself may hold the first step only, which says nothing of
    the others: such parts are left out. So are all of a model that takes so many points only.
    """
    visible = tuple(part for part in parts if part.whole and f.batch is None)
    if not visible:
        return []

    keys = tuple(tuple(op.key for op in part.ops) for part in visible)

    def compute(z: Tensor, *rest: Tensor) -> dict[str, Tensor]:
        weights = f.mixing.sum(axis=1, keepdims=True)
        around = enumerate(inside(f.whole, keys, z, rest, weights))
        return {f"{i} {k}": x for i, part in around for k, x in _summary(part, z).items()}

    evaluator = s.bound.evaluator
    tensors = [xp.cast(z, f.dtype), *rest]
    function = evaluator.function(compute, tensors, once=True)
    found = {name: xp.to_numpy(tensor) for name, tensor in function(*tensors).items()}
    return [
        State(
            part=part,
            units=int(found[f"{i} units"]),
            switching=int(found[f"{i} switching"]),
            off=int(found[f"{i} off"]),
            blocked=found[f"{i} blocked"],
            flat=found[f"{i} flat"],
            beyond=tuple(np.mean(found[f"{i} beyond"], axis=0).tolist()),
            signature=found[f"{i} signature"].astype(np.float64),
        )
        for i, part in enumerate(visible)
    ]


def _summary(part: Inside, z: Tensor) -> dict[str, Tensor]:
    """What a part does at the points `z`."""
    n = xp.lengths(z)[0]
    into, out_of = _by_unit(part.into, n), _by_unit(part.out_of, n)
    slopes = [_by_unit(slope, n) for slope in part.slopes]
    passing = xp.any(into != 0, axis=(1, 2))
    moves = [xp.any(xp.abs(slope - slope[:1]) > CHANGED, axis=(0, 1)) for slope in slopes]
    return {
        "units": xp.lengths(into)[2],
        "switching": xp.max(xp.stack([_count(move) for move in moves])),
        "off": _count(xp.all(into == 0, axis=(0, 1))),
        "blocked": xp.any(out_of != 0, axis=(1, 2)) & ~passing,
        "flat": xp.all(xp.stack([xp.all(slope == 0, axis=(1, 2)) for slope in slopes]), axis=0),
        "beyond": xp.max(xp.stack([_beyond(slope) for slope in slopes]), axis=0),
        "signature": sum(_mixture(slope, i) for i, slope in enumerate(slopes)),
    }


def _by_unit(tensor: Tensor, n: Any) -> Tensor:
    """`(n, places, units)`: the last axis holds the units, or the channels."""
    units = xp.lengths(tensor)[-1] if tensor.ndim > 1 else 1
    return xp.reshape(tensor, [n, -1, units])


def _count(which: Tensor) -> Tensor:
    return xp.sum(xp.cast(which, "int32"))


def _beyond(slope: Tensor) -> Tensor:
    """The share of units at each point with a slope of 1, or 0 beside 1, `(n, 2)`.

    Slopes are in uneven units, see each backend's `intermediates`.
    """
    size = slope.shape[-1] or 1
    whole = xp.constant(np.linspace(1.0, UNEVEN if size > 1 else 1.0, size), slope.dtype)
    one = slope >= whole * (1 - xp.eps(slope.dtype))
    none = xp.abs(slope) < whole * (xp.eps(slope.dtype) / 2)
    shares = [xp.mean(xp.cast(which, slope.dtype), axis=(1, 2)) for which in (one, none)]
    return xp.stack(shares, axis=1)


def _mixture(slope: Tensor, seed: int) -> Tensor:
    weights = normal(xp.lengths(slope)[1:], seed, slope.dtype)
    return xp.sum(slope * weights, axis=(1, 2))
