"""How each op takes on enclosures: the list of what can be enclosed.

An op of any backend is found by its type in lower case. Those that are linear, by what the engines
know of them, need no row: they move numbers or are a matrix, which they are asked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_curvature.enclosures import elementary, jet
from keras_curvature.enclosures.functions import Function
from keras_curvature.enclosures.interval import Interval, point
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.engines.api import ComputedStep
from keras_curvature.typing import Array

Apply = Callable[[Sequence[JetBounds], Pairs], Sequence[JetBounds]]
"""From the enclosures of what depends on the point, in order, to those of the results."""


@dataclass(frozen=True, eq=False)
class Use:
    """An op where it is used.

    Attributes:
        step: the op as it was run on one example.
        active: the places of the inputs that depend on the point.
    """

    step: ComputedStep
    active: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first result."""
        return tuple(self.step.outputs[0].shape)

    def constant(self, index: int) -> Array:
        """An input that does not depend on the point."""
        return as_numbers(self.step.inputs[index])


def as_numbers(tensor: Any) -> Array:
    """In float64."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)


Rule = Callable[[Use], Apply]


def elementwise(function: Function) -> Rule:
    """A function of each number."""
    return lambda use: lambda jets, pairs: [jet.through(function, jets[0], pairs)]


def aligned(found: JetBounds, ndim: int) -> JetBounds:
    """With axes of length 1 in front of an example's, up to so many."""

    def stretch(x: Interval | None, lead: int) -> Interval | None:
        if x is None or len(x.shape) - lead >= ndim:
            return x
        more = (1,) * (ndim - len(x.shape) + lead)
        return x.map(lambda bound: bound.reshape(*bound.shape[:lead], *more, *bound.shape[lead:]))

    value = stretch(found.value, 1)
    assert value is not None
    return JetBounds(value, stretch(found.slope, 2), stretch(found.bend, 2))


def held(x: Array) -> JetBounds:
    """What does not depend on the point."""
    return JetBounds(point(x[None]))


def summed(sign: int) -> Rule:
    """A sum or a difference of two."""

    def rule(use: Use) -> Apply:
        given = [None if i in use.active else held(use.constant(i)) for i in (0, 1)]

        def apply(jets: Sequence[JetBounds], pairs: Pairs) -> Sequence[JetBounds]:
            found = iter(jets)
            a, b = (
                aligned(next(found) if known is None else known, len(use.shape)) for known in given
            )
            return [jet.add(a, b if sign > 0 else jet.negative(b))]

        return apply

    return rule


def multiplied(use: Use) -> Apply:
    """A product of two."""
    ndim = len(use.shape)
    if len(use.active) == 2:
        return lambda jets, pairs: [
            jet.product(aligned(jets[0], ndim), aligned(jets[1], ndim), pairs)
        ]
    factor = point(use.constant(1 - use.active[0]))
    return lambda jets, pairs: [jet.scaled(aligned(jets[0], ndim), factor)]


def unchanged(use: Use) -> Apply:
    """The numbers stay as they are."""
    return lambda jets, pairs: list(jets)


def opposite(use: Use) -> Apply:
    """The other sign."""
    return lambda jets, pairs: [jet.negative(jets[0])]


RULES: dict[str, Rule] = {
    "add": summed(1),
    "addv2": summed(1),
    "biasadd": summed(1),
    "mul": multiplied,
    "neg": opposite,
    "sub": summed(-1),
    # functions of a number
    "exp": elementwise(elementary.EXP),
    "expm1": elementwise(elementary.EXPM1),
    "gelu": elementwise(elementary.GELU),
    "log": elementwise(elementary.LOG),
    "logistic": elementwise(elementary.SIGMOID),
    "relu": elementwise(elementary.RELU),
    "sigmoid": elementwise(elementary.SIGMOID),
    "silu": elementwise(elementary.SILU),
    "softplus": elementwise(elementary.SOFTPLUS),
    "square": elementwise(elementary.SQUARE),
    "tanh": elementwise(elementary.TANH),
}
