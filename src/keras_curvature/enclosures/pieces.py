"""Formulas of one number with kinks in known places, taken apart into smooth pieces.

`x / (1 + |x|)` is smooth but for its second derivative at 0; an interval around 0 in `|x|` would
know of a kink alone. Between the places where a part switches, which is known where the part is a
linear function of the number, each part is one of its branches, and a formula without a switch is
left.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

from keras_curvature.enclosures.scalar_trees import Tree, built

Line = tuple[Fraction, Fraction]
"""`a + b x`, without any rounding."""


def line_of(tree: Any) -> Line | None:
    """A formula as a straight line."""
    if isinstance(tree, str):
        return Fraction(0), Fraction(1)
    if isinstance(tree, float):
        return (Fraction(tree), Fraction(0)) if math.isfinite(tree) else None
    given = [line_of(part) for part in tree.arguments]
    if any(part is None for part in given) or len(given) != 2:
        return None
    (a, b), (c, d) = given  # type: ignore[misc]
    if tree.name == "add":
        return a + c, b + d
    if tree.name == "sub":
        return a - c, b - d
    if tree.name == "mul" and b == 0:
        return a * c, a * d
    if tree.name == "div" and d == 0 and c:
        return a / c, b / c
    return None


def _zero(line: Line | None, at: float = 0.0) -> list[Fraction]:
    """Where a line has a value."""
    return [(Fraction(at) - line[0]) / line[1]] if line is not None and line[1] else []


Place = Fraction | float
"""A place, or an infinite one."""

Piece = tuple[Place, Place, Any]
"""From, to, and the formula between."""

COMPARING = ("gt", "ge", "lt", "le", "maximum", "minimum")


def _gap(node: Tree) -> Line | None:
    return line_of(built("sub", node.arguments))


def _switches(tree: Any, low: Place, high: Place) -> list[Fraction]:
    """Where between two places a part of a formula goes from one branch to another."""
    if not isinstance(tree, Tree):
        return []
    found = [place for part in tree.arguments for place in _switches(part, low, high)]
    if tree.name in COMPARING:
        found += _zero(_gap(tree))
    for end in getattr(tree.function, "breaks", ()):
        found += _zero(line_of(tree.arguments[0]), end.at)
    return [place for place in found if low < place < high]


def _specialised(tree: Any, at: Fraction) -> Any:
    """A formula without switches around a place, its parts as the branches that they are there."""
    if not isinstance(tree, Tree):
        return tree
    arguments = [_specialised(part, at) for part in tree.arguments]
    if tree.name == "select" and isinstance(arguments[0], bool):
        return arguments[1 if arguments[0] else 2]
    same = Tree(tree.name, tuple(arguments), tree.function)
    if tree.name in COMPARING:
        # Of arguments that were lines before, so that it has no switch here.
        if _gap(tree) is None:
            return same
        gap = _value(_gap(same), at)
        if tree.name in ("maximum", "minimum"):
            return arguments[0 if (gap > 0) == (tree.name == "maximum") else 1]
        return (gap > 0) == (tree.name in ("gt", "ge"))
    branches = getattr(tree.function, "branches", ())
    if branches and line_of(tree.arguments[0]) is not None:
        x = _value(line_of(arguments[0]), at)
        offset, slope, function = branches[sum(x > b.at for b in tree.function.breaks)]  # type: ignore[union-attr]
        if function is not None:
            return Tree(tree.name, (arguments[0],), function)
        return built("add", (offset, built("mul", (slope, arguments[0]))))
    return built(tree.name, arguments, tree.function)


def _value(line: Line | None, at: Fraction) -> Fraction:
    assert line is not None
    return line[0] + line[1] * at


def apart(tree: Any, low: Place = -math.inf, high: Place = math.inf) -> list[Piece]:
    """The pieces of a formula: each from, to, and what it is between."""
    ends: list[Place] = [low, *sorted(set(_switches(tree, low, high))), high]
    found: list[Piece] = []
    for start, end in itertools.pairwise(ends):
        piece = _specialised(tree, _between(start, end))
        # A part may be a line only now, and switch.
        alike = str(piece) == str(tree)
        found += [(start, end, piece)] if alike else apart(piece, start, end)
    return found


def _between(low: Place, high: Place) -> Fraction:
    if not isinstance(low, Fraction):
        return high - 1 if isinstance(high, Fraction) else Fraction(0)
    return (low + high) / 2 if isinstance(high, Fraction) else low + 1
