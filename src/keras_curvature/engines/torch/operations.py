"""What is known of ATen's operations that hold programs of their own."""

from __future__ import annotations

from collections.abc import Iterator

from keras_curvature.engines.programs.program import Operation, Program

LOOPS: set[str] = set()
"""None: loops of Python are written out while they are traced."""

BY_HAND = {"autograd_function"}
"""Functions with a derivative of their own."""

CAST = "_to_copy"
"""What gives a number another dtype."""


def programs_in(operation: Operation) -> Iterator[Program]:
    """None: there are no loops."""
    return iter(())


DRAWING = ("bernoulli", "dropout", "multinomial", "normal", "rand", "uniform", "poisson")
"""In the names of operations that draw random numbers."""


def is_drawing(op_type: str) -> bool:
    """Whether operations of a type draw random numbers."""
    return any(word in op_type for word in DRAWING)
