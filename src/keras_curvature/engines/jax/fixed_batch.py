"""Models that take so many examples at a time: each number of examples has a trace of its own."""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.chunking import counted
from keras_curvature.engines.inputs import Inputs


def rows(f: Any) -> None:
    """No program here has a number of rows that does not depend on that of the examples."""


def size(inputs: Inputs, f: Any, *, coupled: bool) -> int | None:
    """How many examples a model takes at a time, or `None` for any number."""
    return 1 if coupled and inputs.leaves[0].shape[0] == 1 else None


def not_a_row_each(found: int, examples: int | None) -> str:
    """What to say of an output that has not a row for each example."""
    return (
        f"The first axis of the output must be that of the examples. Received: {found} rows for "
        f"{counted(examples or 0)}. Derivatives are taken for each example: leave their axis where "
        "it is, and reduce over the others only."
    )
