"""Ops on two tensors, by their names in formulas."""

from __future__ import annotations

from collections.abc import Callable

from keras_curvature.enclosures import elementary, jet
from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.enclosures.selection import larger


def smaller(a: JetBounds, b: JetBounds, pairs: Pairs) -> JetBounds:
    """The smaller one of two."""
    return jet.negative(larger(jet.negative(a), jet.negative(b), pairs))


def product(a: JetBounds, b: JetBounds, pairs: Pairs) -> JetBounds:
    """A product; of a number with itself its square."""
    if a is b:
        return jet.through(elementary.SMOOTH["square"], a, pairs)
    if a.slope is None and len(a.value.lower) == 1:
        return jet.scaled(b, a.value)
    if b.slope is None and len(b.value.lower) == 1:
        return jet.scaled(a, b.value)
    return jet.product(a, b, pairs)  # one that has no slopes may still depend on the box


def quotient(a: JetBounds, b: JetBounds, pairs: Pairs) -> JetBounds:
    """A quotient."""
    return product(a, jet.through(elementary.RECIPROCAL, b, pairs), pairs)


def difference(a: JetBounds, b: JetBounds, pairs: Pairs) -> JetBounds:
    """A difference."""
    return jet.add(a, jet.negative(b))


def squared_difference(a: JetBounds, b: JetBounds, pairs: Pairs) -> JetBounds:
    """Its square."""
    return jet.through(elementary.SMOOTH["square"], difference(a, b, pairs), pairs)


def log_of_sum(a: JetBounds, b: JetBounds, pairs: Pairs) -> JetBounds:
    """log(exp(a) + exp(b)) = b + softplus(a - b)."""
    if a.slope is None:
        a, b = b, a
    return jet.add(b, jet.through(elementary.SMOOTH["softplus"], difference(a, b, pairs), pairs))


Binary = Callable[[JetBounds, JetBounds, Pairs], JetBounds]

BINARY: dict[str, Binary] = {
    "add": lambda a, b, pairs: jet.add(a, b),
    "div": quotient,
    "logaddexp": log_of_sum,
    "maximum": larger,
    "minimum": smaller,
    "mul": product,
    "squared_difference": squared_difference,
    "sub": difference,
}
