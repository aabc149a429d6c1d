"""Whether a function keeps the shape that is asked of it along single inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature.engines.api import Layout
from keras_curvature.engines.quantities import CURVATURE, SLOPE, VALUE
from keras_curvature.measurement.closest_name import closest
from keras_curvature.measurement.windows import BEND, RISE
from keras_curvature.typing import Array

WORDS = {
    "increasing": (1, 1),
    "decreasing": (1, -1),
    "convex": (2, 1),
    "concave": (2, -1),
    "linear": (2, 0),
}
"""The derivative that decides, and its sign; 0 where it has to vanish."""

TOLERANCE = 1e-6
"""Violation that counts as none, in standard deviations of input and output.

Above what rounding leaves, of models that round to float32 inside too, and a millionth of what
takes the output through one of its own standard deviations.
"""

LINEAR = 0.05
"""Second derivative up to which a function counts as linear, in standard deviations.

Over one standard deviation of the input the slope changes by less than 5 % of what takes the
output through one of its own, as where the verdict calls a function straight. No trained network
is linear to the last digit.
"""

ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Error of one value in float64, relative to the largest, that a difference may rest on."""

NAMED = 64
"""Inputs up to which all of a point's are told."""


@dataclass(frozen=True)
class Condition:
    """What is asked along one input.

    Attributes:
        index: of the input.
        input: its name.
        word: of `WORDS`.
    """

    index: int
    input: str
    word: str

    @property
    def order(self) -> int:
        """Of the derivative that decides."""
        return WORDS[self.word][0]

    def lacking(self, derivative: Any) -> Any:
        """How far derivatives (an array or a tensor) are from what is asked; at most 0 if met."""
        sign = WORDS[self.word][1]
        return -sign * derivative if sign else abs(derivative)


def require_bend(condition: Condition, low: float, high: float) -> None:
    """Refuses a condition on the second derivative along an input of two values.

    Args:
        condition: what is asked.
        low: the lower of the two values of its input in the probe, NaN where it has more.
        high: the higher one.

    Raises:
        ValueError: for what two values cannot show.
    """
    if condition.order == 2 and np.isfinite(low):
        raise ValueError(
            f"`shape` must ask for 'increasing' or 'decreasing' along an input of two values, "
            f"between which nothing bends. Received: {condition.word!r} for {condition.input!r}, "
            f"which is {low:.6g} or {high:.6g} at each point of the probe. If it can have more "
            "values, give a probe that has them."
        )


def warn_of_constant(condition: Condition) -> None:
    """Warns that the probe cannot show what is asked along an input that it does not vary."""
    warnings.warn(
        f"`shape` asks for {condition.word!r} in {condition.input!r}, which is the same at all "
        "points of the probe: how the model goes on from there no data tell, and a violation is "
        "measured as if its standard deviation were 1. Give a probe in which it varies.",
        stacklevel=2,
    )


@dataclass(frozen=True)
class Kept:
    """How well one output keeps one condition.

    Attributes:
        condition: what is asked.
        holds: where it holds for all entries of the output, shape `(n,)`.
        order: of the derivative that was looked at; 0 of a change from one value to another.
        worst: the largest violation in standard deviations of input and output, 0 where there is
            none.
        unit: of that, in units of the data.
        point: of the probe, where it is.
        at: its numbers by the names of the inputs; empty where there is no violation, and of
            more than `NAMED` inputs.
    """

    condition: Condition
    holds: NDArray[np.bool_]
    order: int
    worst: float
    unit: float
    point: int
    at: Mapping[str, float]


def checked_shape(shape: Any) -> dict[str | int, tuple[str, ...]]:
    """What `shape=` may be, with the words of each input in a tuple.

    Raises:
        TypeError: for anything but a dict from names or indexes of inputs to words.
        ValueError: for an empty dict or an unknown word.
    """
    expected = (
        "`shape` must be a dict from names or indexes of inputs to one or several of "
        f"{list(WORDS)}, for example {{'strike': 'convex'}}."
    )
    if not isinstance(shape, Mapping):
        raise TypeError(f"{expected} Received: {shape!r}.")
    found: dict[str | int, tuple[str, ...]] = {}
    for key, given in shape.items():
        words = (given,) if isinstance(given, str) else given
        name = int(key) if isinstance(key, (int, np.integer)) else key
        if isinstance(key, bool) or not isinstance(name, (int, str)):
            raise TypeError(f"{expected} Received: {key!r} among the inputs.")
        if not isinstance(words, (list, tuple)):
            raise TypeError(f"{expected} Received: {given!r} for {key!r}.")
        wrong = [word for word in words if not isinstance(word, str) or word not in WORDS]
        if wrong or not words:
            meant = closest(wrong[0], WORDS) if wrong and isinstance(wrong[0], str) else None
            raise ValueError(
                f"{expected} Received: {given!r} for {key!r}."
                + (f" Did you mean {meant!r}?" if meant else "")
            )
        found[name] = tuple(dict.fromkeys(words))
    if not found:
        raise ValueError(f"{expected} Received: an empty dict.")
    return found


def conditions(
    shape: Mapping[str | int, tuple[str, ...]], names: Sequence[str], inputs: Layout
) -> tuple[Condition, ...]:
    """What is asked, input by input.

    Args:
        shape: checked.
        names: one per input number.
        inputs: how they lie; an input of one number goes by its own name too.

    Raises:
        ValueError: for an input that is not there, or is there twice; for an index into a dict.
    """
    starts = np.cumsum([0, *inputs.sizes[:-1]])
    own = zip(inputs.names, starts, inputs.sizes, strict=True)
    places = {name: int(start) for name, start, size in own if size == 1}
    places |= {name: i for i, name in enumerate(names)}
    found: list[Condition] = []
    for key, words in shape.items():
        if not isinstance(key, str) and not inputs.ordered:
            raise ValueError(
                f"`shape` must name inputs by {list(inputs.names)}: Keras sorts the keys of a dict "
                f"of inputs, so that an index may mean another one. Received: {key!r}."
            )
        index = places.get(key) if isinstance(key, str) else key
        if index is None or not -len(names) <= index < len(names):
            shown = list(names[:NAMED])
            near = closest(key, list(places)) if isinstance(key, str) else None
            meant = "" if near is None else f" Did you mean {near!r}?"
            raise ValueError(
                f"`shape` must name inputs of the model, {shown}, or give their indexes. Received: "
                f"{key!r}.{meant or ' `feature_names` gives them other names.'}"
            )
        index %= len(names)
        if any(condition.index == index for condition in found):
            raise ValueError(
                f"`shape` must have each input once. Received: {key!r}, which is "
                f"{names[index]!r} again. Several words go in a tuple."
            )
        name = key if isinstance(key, str) else names[index]
        found += [Condition(index, name, word) for word in words]
    return tuple(found)


AT_POINTS, OVER_WINDOWS = {1: SLOPE, 2: CURVATURE}, {1: RISE, 2: BEND}
"""The derivative of each order."""


def kept(
    condition: Condition,
    found: Mapping[str, Array],
    reach: float,
    of_input: float,
    of_output: Array,
    at: Callable[[int], Mapping[str, float]],
) -> Kept:
    """How well an output keeps a condition.

    Both the derivative at a point and the difference over the window around it have to be as
    asked: a smooth function can bend the wrong way inside the window, and one with kinks bends
    nowhere else. What is not a number does not count as holding.

    Args:
        condition: what is asked.
        found: what `windows.exact_and_averaged` gave, of this output and input, each `(n, m)`.
        reach: half-width of the windows, in standard deviations.
        of_input: the input's standard deviation.
        of_output: that of each entry of the output, `(m,)`.
        at: the numbers of a probe point by name.
    """
    order = condition.order
    rounding = _rounding(found[VALUE]) / of_output / reach**order
    exact, over = (found[names[order]] / of_output for names in (AT_POINTS, OVER_WINDOWS))
    missing = np.maximum(condition.lacking(exact), condition.lacking(over) - rounding)
    return _kept(condition, order, missing, of_output / of_input**order, at)


def kept_from_one_to_the_other(
    condition: Condition,
    value: Array,
    change: Array,
    of_output: Array,
    at: Callable[[int], Mapping[str, float]],
) -> Kept:
    """How well an output keeps a condition along an input of two values.

    Args:
        condition: of order 1.
        value: of the output, `(n, m)`.
        change: of it, from the lower value to the higher one, `(n, m)`.
        of_output: standard deviation of each entry of the output, `(m,)`.
        at: the numbers of a probe point by name.
    """
    missing = condition.lacking(change / of_output) - _rounding(value) / of_output
    return _kept(condition, 0, missing, of_output, at)


def _rounding(value: Array) -> Array:
    """What a difference of values may be off by, `(m,)`."""
    return ROUNDING * np.abs(np.where(np.isfinite(value), value, 0)).max(axis=0)


def _kept(
    condition: Condition,
    order: int,
    missing: Array,
    unit: Array,
    at: Callable[[int], Mapping[str, float]],
) -> Kept:
    """What violations `(n, m)`, in standard deviations, come to."""
    allowed = LINEAR if condition.word == "linear" else TOLERANCE
    holds = np.all(missing <= allowed, axis=1)
    known = np.where(np.isnan(missing), -np.inf, missing)
    point, entry = np.unravel_index(known.argmax(), known.shape)
    worst = float(missing[point, entry])
    if worst <= allowed:
        worst = 0.0
    where = at(int(point)) if worst > 0 else {}
    return Kept(condition, holds, order, worst, float(unit[entry]), int(point), where)
