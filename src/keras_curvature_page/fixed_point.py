"""Numbers that are drawn, as whole multiples of a quantum that is too small to be seen.

The quantum of a curve or map at one step is the largest of 1, 2 or 5 times a power of ten that is
at most `PART` of how far its chart reaches there. Where the page adds or subtracts, for a
Laplacian or a difference to what is known, it is at most as much of that too, however much
cancels. Every number is then right to half a quantum, and a short decimal, so that what is read off
has no digits which are not there.

What is left to be written is how far a multiple lies from what was to be expected: the number of
the step before, plus `gain` times the change since then of another place, the predictor, that was
read before. Predictors are chosen where the changes of two places went together.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PART = 1e-4
"""Of the reach of a chart: a thirtieth of a pixel, and the last of the digits that are read off."""

GAINS = 64
"""Gains are multiples of a 64th."""

_AXES = {
    **dict.fromkeys(("value", "slope", "second", "scale_second", "mixed", "maps"), 1),
    **dict.fromkeys(("point_value", "point_slope", "point_second"), 1),
    **dict.fromkeys(("slice_value", "slice_second", "slice_scale_second"), 1),
    **dict.fromkeys(("laplacian_quantiles", "scale_laplacian_quantiles"), 1),
    **dict.fromkeys(("features", "features_over", "changes"), 1),
    **dict.fromkeys(("interactions", "grid"), 2),
}
"""How many axes of an array, the last ones, one chart shows. What is not here is not drawn to a
linear scale: the curvature over distances, and tables."""

_QUANTA = np.array([float(f"{digit}e{power}") for power in range(-45, 39) for digit in (1, 2, 5)])

_MOST = float(1 << 30)
"""Multiples stay below, so that they have 10 digits and their differences 32 bits."""

_BLOCK, _BACK = 512, 2048
"""Places that are looked at together, and how far back their predictors are."""

_COST = 24
"""About the bits that a predictor takes."""

Arrays = Mapping[str, NDArray[np.float32]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Multiples:
    """An array of all steps.

    Attributes:
        quanta: of each of its charts, that of each step.
        predictors: of each place, how far back its predictor is; the places of all arrays come one
            after the other.
        gains: of each place, in multiples of 1 / `GAINS`.
        differences: to what was to be expected, `(steps, places)`.
    """

    quanta: list[list[float]]
    predictors: list[int]
    gains: list[int]
    differences: NDArray[np.int32]


def multiples_of(arrays: Arrays, still: Arrays) -> dict[str, Multiples]:
    """Those arrays that can be coded so.

    Args:
        arrays: of all steps, `(steps, *shape)`.
        still: the arrays of the probe, which the page compares them with.
    """
    quanta = {name: one for name in arrays if (one := _quanta(name, arrays, still)) is not None}
    if not quanta:
        return {}
    spread = [_spread(arrays[name], one) for name, one in quanta.items()]
    found = _foretold(*(np.concatenate(parts, axis=1) for parts in zip(*spread, strict=True)))
    ends = np.cumsum([part.shape[1] for part, _ in spread])[:-1]
    each = zip(quanta.items(), *(np.split(what, ends, axis=-1) for what in found), strict=True)
    return {
        name: Multiples(own.T.tolist(), back.tolist(), gains.tolist(), differences)
        for (name, own), back, gains, differences in each
    }


def _spread(array: NDArray[np.float32], quanta: Floats) -> tuple[Floats, Floats]:
    """Multiples and quanta of each place, `(steps, places)`."""
    numbers = array.reshape(len(array), -1).astype(np.float64)
    each = np.repeat(quanta, numbers.shape[1] // quanta.shape[1], axis=1)
    return np.rint(numbers / each), each


def _quanta(name: str, arrays: Arrays, still: Arrays) -> Floats | None:
    """`(steps, charts)`, or none where no such multiples do."""
    array = arrays[name]
    if name not in _AXES or not array.size or not np.isfinite(array).all():
        return None
    charts = array.shape[1 : array.ndim - _AXES[name]]
    numbers = array.reshape(len(array), *charts, -1).astype(np.float64)
    reaches = [_reach(drawn) for drawn in _drawn(name, numbers, still)]
    least = np.broadcast_to(functools.reduce(np.minimum, reaches), numbers.shape[:-1])
    reach = np.where(numbers.any(axis=-1), least, np.inf).reshape(len(array), -1)
    place = np.searchsorted(_QUANTA, PART * reach, side="right") - 1
    quanta = np.where(np.isinf(reach), 1.0, _QUANTA[place])
    multiples, each = _spread(array, quanta)
    before = multiples[:-1] * each[:-1] / each[1:]
    largest = max(np.abs(multiples).max(), np.abs(before).max(initial=0))
    return quanta if place.min() >= 0 and largest < _MOST else None


def _drawn(name: str, numbers: Floats, still: Arrays) -> Iterator[Floats]:
    """What the page draws of an array, those of its charts that it adds up as one.

    Over the plane of two inputs these are the maps of `static/maps.js`.
    """
    planar = "x" in still and still["x"].shape == (2, numbers.shape[-1])
    if not planar or name != "scale_second":
        yield numbers
    if planar and name in ("second", "scale_second"):
        laplacian = numbers.sum(axis=-2, keepdims=True)
        yield laplacian[..., _inside(still)] if name == "scale_second" else laplacian
    known = still.get({"value": "target", "second": "reference"}.get(name, ""))
    if planar and known is not None and known.shape == numbers.shape[1:]:
        off = numbers - known
        yield off[..., np.isfinite(known).reshape(-1, known.shape[-1]).all(axis=0)]


def _inside(still: Arrays) -> NDArray[np.bool_]:
    """The places whose window lies within the probe's range."""
    x, window = still["x"], still.get("window", np.zeros(0))
    if window.shape != (2, 2):
        return np.ones(x.shape[1], bool)
    first, last = window[..., None]
    return np.asarray(((x >= first) & (x <= last)).all(axis=0))


def _reach(numbers: Floats) -> Floats:
    """How far charts reach along the last axis, as `reach` of `static/numbers.js` has it."""
    if not numbers.shape[-1]:
        return np.full(numbers.shape[:-1], np.inf)
    last = numbers.shape[-1] - 1
    places = [0, int(0.01 * last + 0.5), int(0.99 * last + 0.5), last]
    low, core_low, core_high, high = np.moveaxis(np.sort(numbers, axis=-1)[..., places], -1, 0)
    core, whole = core_high - core_low, high - low
    return np.where((core > 0) & (core < whole / 6), 2 * core, whole)


def _foretold(
    multiples: Floats, quanta: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """How far back predictors are, their gains, and the differences."""
    values = multiples * quanta
    before = np.vstack([np.zeros_like(values[:1]), values[:-1]])
    changes = values - before
    back = _predictors((changes / quanta)[1:])
    others = changes[:, np.arange(len(back)) - back]
    own, other = (part[1:] / quanta[1:] for part in (changes, others))
    power = (other**2).sum(axis=0)
    gains = np.rint(GAINS * (own * other).sum(axis=0) / np.where(power > 0, power, 1.0))
    gains = np.where(np.abs(gains) < _MOST, gains, 0)
    plain = _differences(multiples, before, quanta)
    better = _differences(multiples, before + gains / GAINS * others, quanta)
    worth = (_bits(better) + _COST < _bits(plain)) & (np.abs(better).max(axis=0) < _MOST)
    worth[0] = False  # before the first there is none
    chosen = np.where(worth, better, plain).astype(np.int32)
    return np.where(worth, back, 0), np.where(worth, gains, 0).astype(np.int64), chosen


def _differences(multiples: Floats, expected: Floats, quanta: Floats) -> Floats:
    """To the nearest multiple, as `static/embedded_source.js` rounds."""
    return multiples - np.floor(expected / quanta + 0.5)


def _bits(differences: Floats) -> Floats:
    """About how many bits those of each place take."""
    return np.log2(1 + 2 * np.abs(differences)).sum(axis=0)


def _predictors(changes: Floats) -> NDArray[np.int64]:
    """How far back, for each place, that one is whose changes explain the most of its own."""
    changes = changes.astype(np.float32)
    power = (changes**2).sum(axis=0)
    back = []
    for start in range(0, len(power), _BLOCK):
        first, end = max(0, start - _BACK), min(start + _BLOCK, len(power))
        shared = changes[:, first:end].T @ changes[:, start:end]
        explained = shared**2 / np.maximum(power[first:end, None], 1e-30)
        later = np.arange(first, end)[:, None] >= np.arange(start, end)
        explained[later] = 0
        back.append(np.arange(start, end) - first - explained.argmax(axis=0))
    return np.concatenate(back)
