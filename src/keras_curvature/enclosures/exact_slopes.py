"""The value and the slope of a formula at a rational place, as fractions, where they are such."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

Exact = tuple[Fraction | None, Fraction]
"""A value, `None` where it is no fraction, and a slope."""

AT_0: dict[str, tuple[int, Fraction]] = {
    **dict.fromkeys(("asinh", "atan", "expm1", "log1p", "sin", "sinh", "tanh"), (0, Fraction(1))),
    **dict.fromkeys(("cos", "cosh"), (1, Fraction(0))),
    "softsign": (0, Fraction(1)),
    "exp": (1, Fraction(1)),
}
"""The values and slopes of functions at 0."""

SLOPES: dict[str, Callable[[Fraction], Fraction]] = {
    "log": lambda x: 1 / x,
    "log1p": lambda x: 1 / (1 + x),
}
"""The slopes of functions whose values are no fractions."""


class NoFractionError(Exception):
    """Something is no fraction."""


def exact(tree: Any, at: Fraction) -> Exact | None:
    """The value and the slope of a formula without switches, or `None`."""
    try:
        return _exact(tree, at)
    except (NoFractionError, ZeroDivisionError):
        return None


def _exact(tree: Any, at: Fraction) -> Exact:
    if isinstance(tree, str):
        return at, Fraction(1)
    if isinstance(tree, float):
        if not math.isfinite(tree):
            raise NoFractionError
        return Fraction(tree), Fraction(0)
    given = [_exact(part, at) for part in tree.arguments]
    (a, da) = given[0]
    if tree.name in ("add", "sub") and len(given) == 2:
        b, db = given[1]
        sign = 1 if tree.name == "add" else -1
        return None if a is None or b is None else a + sign * b, da + sign * db
    if a is None:
        raise NoFractionError
    if tree.name in AT_0 and a == 0:
        value, slope = AT_0[tree.name]
        return Fraction(value), slope * da
    if tree.name == "elu" and a == 0 and _rises_by_1(tree.function):
        return a, da
    if tree.name in SLOPES:
        return None, SLOPES[tree.name](a) * da
    if tree.name == "square":
        return a * a, 2 * a * da
    if tree.name == "reciprocal":
        return 1 / a, -da / a**2
    if tree.name not in ("mul", "div"):
        raise NoFractionError
    b, db = given[1]
    if b is None:
        if tree.name == "mul" and da == 0:
            return None, a * db
        raise NoFractionError
    if tree.name == "mul":
        return a * b, da * b + a * db
    return a / b, (da * b - a * db) / b**2


def _rises_by_1(function: Any) -> bool:
    """Whether an ELU has the slope 1 below 0; any other may be rounded."""
    return bool(function.noise == (0, 0, 0) and function.derivatives[1](np.array(0.0)) == 1)
