"""The dtypes of PyTorch, and NumPy's where it has none."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch


def dtype_of(name: Any) -> Any:
    """The dtype of a name; NumPy's own where PyTorch has none, as of text.

    Raises:
        TypeError: for what is no dtype.
    """
    if isinstance(name, torch.dtype):
        return name
    found = np.dtype(getattr(ml_dtypes, name, name) if isinstance(name, str) else name)
    ours = getattr(torch, found.name, None)
    return ours if isinstance(ours, torch.dtype) else found


def name_of(dtype: Any) -> str:
    """The name of a dtype, as in `"float32"`."""
    found = dtype_of(dtype)
    return str(found).removeprefix("torch.") if isinstance(found, torch.dtype) else found.name


def eps(dtype: Any) -> float:
    """Unit of rounding of a dtype."""
    return float(torch.finfo(dtype_of(dtype)).eps)


def is_floating(dtype: Any) -> bool:
    """Whether numbers of a dtype have a derivative and are real."""
    found = dtype_of(dtype)
    return isinstance(found, torch.dtype) and found.is_floating_point


def has_derivative(dtype: Any) -> bool:
    """Whether numbers of a dtype have a derivative: real ones and complex ones."""
    return is_floating(dtype) or not is_real(dtype)


def is_integer(dtype: Any) -> bool:
    """Whether numbers of a dtype are whole."""
    found = dtype_of(dtype)
    return isinstance(found, torch.dtype) and not (
        found.is_floating_point or found.is_complex or found == torch.bool
    )


def is_real(dtype: Any) -> bool:
    """Whether a dtype is one of real numbers."""
    found = dtype_of(dtype)
    return not (found.is_complex if isinstance(found, torch.dtype) else found.kind == "c")


def is_numeric(dtype: Any) -> bool:
    """Whether a dtype is one of real numbers or truth values."""
    return isinstance(dtype_of(dtype), torch.dtype) and is_real(dtype)


def is_string(dtype: Any) -> bool:
    """Whether a dtype is that of text, which PyTorch has none of."""
    found = dtype_of(dtype)
    return not isinstance(found, torch.dtype) and found.kind in "SUOT"


def itemsize(dtype: Any) -> int:
    """Bytes of a number."""
    return int(dtype_of(dtype).itemsize)


def widest() -> torch.dtype:
    """The widest dtype of real numbers."""
    return torch.float64


def widened(narrow: Any, dtype: Any) -> Any:
    """The dtype that stands for `narrow` in an evaluation in `dtype`."""
    narrow, dtype = dtype_of(narrow), dtype_of(dtype)
    if is_floating(narrow) and itemsize(narrow) < itemsize(dtype):
        return dtype
    if narrow == torch.complex64 and dtype == torch.float64:
        return torch.complex128
    return narrow
