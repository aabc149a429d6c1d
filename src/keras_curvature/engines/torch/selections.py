"""What a `where` is among ATen's operations, what it must keep from infinite slopes, and ends."""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.programs.program import Instruction, Slot

SINGULAR = frozenset(
    """
    acos acosh asin atan2 atanh digamma div erfinv exp exp2 expm1 lgamma log log10 log1p log2
    polygamma pow reciprocal remainder rsqrt sinh cosh sqrt tan xlogy special_xlog1py
    """.split()  # noqa: SIM905, a list of strings would take ten lines
)
"""Pointwise operations with derivatives that are infinite somewhere, or overflow."""


def case_of(instruction: Instruction, slot: Slot) -> int | None:
    """Which case of a `where` a result is, or `None`; its condition is the first input."""
    if instruction.operation.type != "where" or len(instruction.inputs) < 3:
        return None
    place = instruction.inputs.index(slot)
    return 2 - place if place else None


def is_taken(condition: Any, case: int) -> Any:
    """At which entries a condition chooses a case."""
    return condition == bool(case)


def clipped_at(instruction: Instruction) -> list[tuple[Any, Any, int]]:
    """What is clipped, an end, and whether it is as above that end where it equals it: 1 or -1.

    PyTorch has there the slope of what is clipped, at both ends.
    """
    operation = instruction.operation
    if operation.type not in ("clamp", "clamp_max", "clamp_min"):
        return []
    x, *ends = instruction.inputs
    if len(ends) == 2:
        return [(x, ends[0], 1), (x, ends[1], -1)]
    upper = operation.type == "clamp_max" or "min" in operation.params
    return [(x, end, -1 if upper else 1) for end in ends]
