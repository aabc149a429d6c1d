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
    return np.asarray(result.detach().cpu() if isinstance(result, torch.Tensor) else result)


def flat(y: torch.Tensor) -> torch.Tensor:
    """The outputs of every example in one axis."""
    return y.reshape(len(y), -1)


def in_float64() -> contextlib.AbstractContextManager[None]:
    """Where float64 is float64, as it is everywhere."""
    return contextlib.nullcontext()


def widened(function: Any) -> Any:
    """A copy of a module with its numbers in float64, or `None` where there is none."""
    if not isinstance(function, torch.nn.Module):
        return None
    try:
        return copy.deepcopy(function).double()
    except (RuntimeError, TypeError):  # of what cannot be copied, such as a tensor of a graph
        return None


def parts(function: Any) -> list[tuple[str, Any]]:
    """Pieces from the beginning on of an `nn.Sequential`, each with the name of its last."""
    if not isinstance(function, torch.nn.Sequential):
        return []
    names = [f"{name} ({type(part).__name__})" for name, part in function.named_children()]
    return [(name, function[: i + 1]) for i, name in enumerate(names)]
