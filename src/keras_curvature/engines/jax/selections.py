"""What a `where` is among JAX's primitives, and which of them it must keep from infinite slopes."""

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
