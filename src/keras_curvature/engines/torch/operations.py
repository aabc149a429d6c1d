"""What is known of ATen's operations that hold programs of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from keras_curvature.engines.programs.program import Operation, Program
from keras_curvature.engines.taylor.registry import lookup
from keras_curvature.engines.torch.calls import Aval, Call
from keras_curvature.engines.torch.compilation import outside

LOOPS: set[str] = set()
"""None: loops of Python are written out while they are traced."""

BY_HAND = {"autograd_function"}
"""Functions with a derivative of their own."""

CAST = "_to_copy"
"""What gives a number another dtype."""


def has_gradient(operation: Operation) -> bool:
    """Whether PyTorch has a derivative: of some functions it says 0, and that it has none nowhere.

    It is asked about what has no rule here.
    """
    call = operation.primitive
    if not isinstance(call, Call) or lookup(operation.type) is not None:
        return True
    with outside(), temporarily_clear_interpreter_stack(), torch.inference_mode(False):
        inputs = [_shaped(aval) for aval in operation.avals]
        try:
            with torch.enable_grad():
                found = call.run(inputs)
        except Exception:  # what needs numbers, or has no derivative and says so
            return True
    return any(y.requires_grad for y in found)


def _shaped(aval: Any) -> Any:
    if not isinstance(aval, Aval):
        return aval
    floats = aval.dtype.is_floating_point or aval.dtype.is_complex
    return torch.empty(aval.shape, dtype=aval.dtype, device="meta", requires_grad=floats)


def programs_in(operation: Operation) -> Iterator[Program]:
    """None: there are no loops."""
    return iter(())


DRAWING = ("bernoulli", "dropout", "multinomial", "normal", "rand", "uniform", "poisson")
"""In the names of operations that draw random numbers."""


def is_drawing(op_type: str) -> bool:
    """Whether operations of a type draw random numbers."""
    return any(word in op_type for word in DRAWING)
