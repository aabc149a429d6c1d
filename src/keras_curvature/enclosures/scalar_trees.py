"""What a few ops make of one number, as a formula: `x * sigmoid(x)` in place of two ops.

An interval in each of two factors that depend on the same number would hold more than their
product does. So ops that compute a function of one number together are taken as one function: a
row of `elementary` where the formula is that of an activation, or else by `composite`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.enclosures import elementary, interval
from keras_curvature.enclosures.functions import HasRange
from keras_curvature.enclosures.interval import Interval


@dataclass(frozen=True, eq=False)
class Tree:
    """An op on formulas: numbers, `"x"`, and other trees."""

    name: str
    arguments: tuple[Any, ...]
    function: HasRange | None = None

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True)
class Stretched:
    """`factor * f(rate * x)`."""

    function: HasRange
    rate: float
    factor: float

    def ranges(self, x: Interval, highest: int) -> list[Interval]:
        """The ranges of f, f', … up to an order over intervals."""
        rate, factor = _about(self.rate), _about(self.factor)
        found = []
        for range_ in self.function.ranges(interval.multiply(rate, x), highest):
            found.append(interval.multiply(factor, range_))
            factor = interval.multiply(factor, rate)
        return found


def _about(number: float) -> Interval:
    """A number that was computed."""
    room = abs(number) * 2.0**-50
    return Interval(np.array([number - room]), np.array([number + room]))


Pattern = Any
"""Nested tuples of a name and arguments: numbers, `"x"`, and capital letters for any number."""


def matched(pattern: Pattern, tree: Any, known: dict[str, float]) -> bool:
    """Whether a formula has a form; what its letters stand for is added to `known`."""
    if isinstance(pattern, str):
        if pattern == "x":
            return tree == "x" if isinstance(tree, str) else False
        if not isinstance(tree, float):
            return False
        return known.setdefault(pattern, tree) == tree
    if isinstance(pattern, (int, float)):
        return isinstance(tree, float) and tree == pattern
    name, *parts = pattern
    if not isinstance(tree, Tree) or tree.name != name or len(parts) != len(tree.arguments):
        return False
    orders = [tree.arguments]
    if name in COMMUTATIVE:
        orders.append(tree.arguments[::-1])
    for arguments in orders:
        trial = dict(known)
        if all(matched(p, t, trial) for p, t in zip(parts, arguments, strict=True)):
            known.update(trial)
            return True
    return False


COMMUTATIVE = {"add", "mul", "maximum", "minimum"}


def built(name: str, arguments: Sequence[Any], function: HasRange | None = None) -> Any:
    """A formula, without what changes nothing."""
    if name == "neg":
        name, arguments = "mul", (-1.0, arguments[0])
    numbers = [isinstance(part, float) for part in arguments]
    if name in COMMUTATIVE and numbers == [False, True]:
        arguments = (arguments[1], arguments[0])
    if name == "add" and arguments[0] == 0.0:
        return arguments[1]
    if name == "mul" and isinstance(arguments[0], float):
        factor, inner = arguments
        if factor == 1:
            return inner
        exact = abs(factor) == 1 or math.frexp(factor)[0] in (0.5, -0.5)  # powers of 2
        if (
            exact
            and isinstance(inner, Tree)
            and inner.name == "mul"
            and isinstance(inner.arguments[0], float)
            and 1e-280 < abs(factor * inner.arguments[0]) < 1e280
        ):
            return built("mul", (factor * inner.arguments[0], inner.arguments[1]))
    return Tree(name, tuple(arguments), function)


ROOT_2 = math.sqrt(2)

FORMULAS: tuple[tuple[Pattern, Any], ...] = (
    (("mul", "x", ("sigmoid", "x")), lambda: elementary.SMOOTH["silu"]),
    (
        ("mul", "x", ("sigmoid", ("mul", "B", "x"))),
        lambda B: Stretched(elementary.SMOOTH["silu"], B, 1 / B),
    ),
    (("mul", "x", ("tanh", ("softplus", "x"))), lambda: elementary.SMOOTH["mish"]),
    (("mul", "x", ("tanh", ("logaddexp", "x", 0))), lambda: elementary.SMOOTH["mish"]),
    (
        ("mul", ("mul", 0.5, "x"), ("erfc", ("mul", "C", ("mul", -1, "x")))),
        lambda C: Stretched(elementary.SMOOTH["gelu"], C * ROOT_2, 1 / (C * ROOT_2)),
    ),
    (("div", "x", ("add", 1, ("abs", "x"))), lambda: elementary.SMOOTH["softsign"]),
    (("logaddexp", 0, "x"), lambda: elementary.SMOOTH["softplus"]),
    (("logaddexp", "x", 0), lambda: elementary.SMOOTH["softplus"]),
)


def known(tree: Any) -> HasRange | None:
    """The row of a formula."""
    for pattern, function in FORMULAS:
        found: dict[str, float] = {}
        if matched(pattern, tree, found):
            return function(**found)
    return None
