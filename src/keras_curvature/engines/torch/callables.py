"""Functions of PyTorch, called from outside with arrays of NumPy."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import numpy as np
import torch

from keras_curvature.typing import Array


def tensor(array: Array) -> torch.Tensor:
    """An array in its own dtype."""
    return torch.tensor(array)


def array(result: Any) -> Array:
    """What a function gives, as NumPy has it."""
    if not isinstance(result, torch.Tensor):
        return np.asarray(result)
    result = result.detach().cpu()
    return np.asarray(result.float() if result.dtype == torch.bfloat16 else result)


def flat(y: torch.Tensor) -> torch.Tensor:
    """The outputs of every example in one axis."""
    return y.reshape(len(y), -1)


def in_float64() -> contextlib.AbstractContextManager[None]:
    """Where float64 is float64, as it is everywhere."""
    return contextlib.nullcontext()


def apart(function: Any) -> Any:
    """A copy of a module, which may count its calls: batch normalisation in training does."""
    if not isinstance(function, torch.nn.Module):
        return function
    try:
        return copy.deepcopy(function)
    except (RuntimeError, TypeError):  # of what cannot be copied, such as a tensor of a graph
        return function


def widened(function: Any) -> Any:
    """A copy of a module with its numbers in float64, or `None` where there is none."""
    copied = apart(function)
    return None if copied is function else copied.double()


def parts(function: Any) -> list[tuple[str, Any]]:
    """Pieces from the beginning on of an `nn.Sequential`, each with the name of its last."""
    if not isinstance(function, torch.nn.Sequential):
        return []
    names = [f"{name} ({type(part).__name__})" for name, part in function.named_children()]
    return [(name, function[: i + 1]) for i, name in enumerate(names)]
