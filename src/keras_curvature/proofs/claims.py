"""What can be claimed of a function over a box, and how it is spelled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.engines.api import Layout
from keras_curvature.measurement.closest_name import closest
from keras_curvature.measurement.shape import WORDS, checked_shape, conditions
from keras_curvature.report.text import in_full, listed, plain

JOINT = ("convex", "concave", "linear")
"""Words that can be claimed of several inputs at once."""

HESSIAN = "|hessian|"
"""The key that bounds the largest magnitude of an eigenvalue of the Hessian."""

EXPECTED = (
    "`shape` must be one of 'convex', 'concave' and 'linear', of all inputs together, or a dict: "
    f"names or indexes of inputs to one or several of {list(WORDS)} and bounds of the second "
    "derivative's magnitude, a tuple of inputs to one of the first three, '|hessian|' to a bound. "
    "For example {'strike': 'convex', 'spot': ('increasing', 0.5)}."
)


@dataclass(frozen=True)
class Claim:
    """One statement about a function, true or not at each point.

    Attributes:
        inputs: indexes of the input numbers that it is about.
        input: what these are called.
        word: of `WORDS`, or `""` for a bound.
        bound: that a magnitude may have; 0 for `"linear"`, `None` where a sign is claimed.
        joint: whether it is of the Hessian in these inputs, and not of one derivative.
    """

    inputs: tuple[int, ...]
    input: str
    word: str
    bound: float | None = None
    joint: bool = False

    @property
    def order(self) -> int:
        """Of the derivative that decides."""
        return WORDS[self.word][0] if self.word else 2

    @property
    def sign(self) -> int:
        """That the derivative has to have; 1 of a magnitude."""
        return WORDS[self.word][1] or 1 if self.word else 1

    @property
    def name(self) -> str:
        """As its entry in a `Proof` is called: `"strike_convex"`."""
        if self.joint and not self.word:
            return HESSIAN
        return "_".join(part for part in (self.input, self.word or "bound") if part)

    @property
    def sentence(self) -> str:
        """What is claimed: `"convex in strike"`."""
        if not self.word:
            return f"{self.derivative} at most {in_full(self.bound or 0.0)}"
        jointly = " jointly" if self.joint else ""
        return f"{self.word}{jointly} in {plain(self.input, 60) or 'all inputs'}"

    @property
    def derivative(self) -> str:
        """What decides, in words."""
        inside = f" in {plain(self.input, 60)}" if self.joint and self.input else ""
        if self.joint and self.bound is not None:
            return f"largest |eigenvalue| of the Hessian{inside}"
        if self.joint:
            which = "smallest" if self.sign > 0 else "largest"
            return f"{which} eigenvalue of the Hessian{inside}"
        what = (
            f"{'slope' if self.order == 1 else 'second derivative'} along {plain(self.input, 40)}"
        )
        return what if self.bound is None else f"|{what}|"

    def value(self, margin: float) -> float:
        """The derivative that has this margin."""
        return self.sign * margin if self.bound is None else self.bound - margin


def claimed(shape: Any, names: Sequence[str], inputs: Layout) -> tuple[Claim, ...]:
    """What is claimed, in the order in which it was given.

    Args:
        shape: as in `prove`.
        names: one per input number.
        inputs: how they lie.

    Raises:
        TypeError: for anything but a word or a dict.
        ValueError: for an unknown word or input, a bound that is none, or an empty dict.
    """
    if isinstance(shape, str):
        return (_joint(range(len(names)), "", shape),)
    if not isinstance(shape, Mapping):
        raise TypeError(f"{EXPECTED} Received: {shape!r}.")
    if not shape:
        raise ValueError(f"{EXPECTED} Received: an empty dict.")
    found: list[Claim] = []
    for key, given in shape.items():
        parts = given if isinstance(given, (list, tuple)) else (given,)
        bounds = [_bound(key, part) for part in parts if not isinstance(part, str)]
        words = [part for part in parts if isinstance(part, str)]
        if not parts:
            raise ValueError(f"{EXPECTED} Received: {given!r} for {key!r}.")
        if key == HESSIAN:
            if words or not bounds:
                raise ValueError(
                    f"`shape` must bound '|hessian|' by a number. Received: {given!r}."
                )
            found += [Claim(tuple(range(len(names))), "", "", bound, True) for bound in bounds]
        elif isinstance(key, tuple):
            indexes = [_single(one, ("convex",), names, inputs)[0].inputs[0] for one in key]
            found += [_joint(indexes, listed([names[i] for i in indexes], 9), w) for w in words]
            called = listed([names[i] for i in indexes], 9)
            found += [Claim(tuple(indexes), called, "", bound, True) for bound in bounds]
        else:
            claims = _single(key, words or ("linear",), names, inputs)
            place = claims[0]
            found += claims if words or not bounds else []
            found += [Claim(place.inputs, place.input, "", bound) for bound in bounds]
    _require_different(found)
    return tuple(found)


def _single(key: Any, words: Sequence[str], names: Sequence[str], inputs: Layout) -> list[Claim]:
    asked = conditions(checked_shape({key: tuple(words)}), names, inputs)
    return [
        Claim((one.index,), one.input, one.word, 0.0 if one.word == "linear" else None)
        for one in asked
    ]


def _joint(indexes: Sequence[int], called: str, word: str) -> Claim:
    if word not in JOINT:
        meant = closest(word, JOINT)
        raise ValueError(
            f"{EXPECTED} Received: {word!r} for {called or 'all inputs'}."
            + (f" Did you mean {meant!r}?" if meant else "")
        )
    if len(set(indexes)) < len(indexes) or not indexes:
        raise ValueError(f"`shape` must have each input of a tuple once. Received: {called!r}.")
    return Claim(tuple(indexes), called, word, 0.0 if word == "linear" else None, True)


def _bound(key: Any, given: Any) -> float:
    number = isinstance(given, (int, float, np.number)) and not isinstance(given, bool)
    if not number or not math.isfinite(given) or given < 0:
        raise ValueError(f"{EXPECTED} Received: {given!r} for {key!r}.")
    return float(given)


def _require_different(claims: Sequence[Claim]) -> None:
    names = [claim.name for claim in claims]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"`shape` must claim each thing once. Received: {twice!r} twice.")
