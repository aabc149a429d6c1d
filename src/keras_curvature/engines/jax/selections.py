"""What a `where` is among JAX's primitives, what it must keep from infinite slopes, and ends."""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.programs.program import Instruction, Slot

SINGULAR = frozenset(
    """
    acos acosh asin atan2 atanh cbrt cosh digamma div erf_inv exp exp2 expm1 integer_pow lgamma
    log log1p pow rem rsqrt sinh sqrt tan xlog1py xlogy
    """.split()  # noqa: SIM905, a list of strings would take ten lines
)
"""Pointwise operations with derivatives that are infinite somewhere, or overflow."""


def case_of(instruction: Instruction, slot: Slot) -> int | None:
    """Which case of a `where` a result is, or `None`; its condition is the first input."""
    if instruction.operation.type != "select_n":
        return None
    place = instruction.inputs.index(slot)
    return place - 1 if place else None


def is_taken(condition: Any, case: int) -> Any:
    """At which entries a condition chooses a case."""
    return condition == (bool(case) if condition.dtype == bool else case)


def clipped_at(instruction: Instruction) -> list[tuple[Any, Any, int]]:
    """What is clipped, an end, and whether it is as above that end where it equals it: 1 or -1.

    JAX has there the slope 0, at both ends.
    """
    if instruction.operation.type != "clamp":
        return []
    low, x, high = instruction.inputs
    return [(x, low, -1), (x, high, 1)]
