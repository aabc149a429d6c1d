"""Tensors of NumPy's arrays and of numbers, and the way back."""

from __future__ import annotations

import numbers
from typing import Any

import ml_dtypes
import numpy as np
import torch
from keras.src.backend.torch.core import get_device
from torch._C import _functorch as functorch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch._subclasses import FakeTensor

from keras_curvature.engines.torch.dtypes import dtype_of, is_floating, is_string, name_of
from keras_curvature.typing import Tensor

NARROW = {"uint16": "int32", "uint32": "int64", "uint64": "int64"}
"""Unsigned integers that PyTorch has and cannot compute with, and what Keras takes for them."""


def array(value: Any) -> Any:
    """A tensor as it is, anything else as a NumPy array: it is moved to a GPU chunk by chunk.

    A tensor made in `torch.inference_mode()` is copied: nothing can be differentiated by it.
    """
    if is_tensor(value):
        return _out_of_inference(value)
    found = np.asarray(value)
    if is_string(found.dtype):
        raise TypeError(
            f"Inputs must hold numbers: PyTorch has no tensors of text. Received: {found.dtype}. "
            "Encode text before the model, or take Keras's TensorFlow backend."
        )
    return found


def _out_of_inference(tensor: Tensor) -> Tensor:
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def constant(value: Any, dtype: Any = None) -> Tensor:
    """A tensor of a number or of a NumPy array, which it shares no memory with.

    It is where Keras makes tensors. NumPy's float64 stays what it is; a number of Python's own is
    of PyTorch's default dtype.
    """
    if is_tensor(value):
        return value if dtype is None else cast(value, dtype)
    wanted = None if dtype is None else dtype_of(dtype)
    if isinstance(value, (bool, int, float, complex, torch.SymInt, torch.SymFloat)):
        return torch.as_tensor(value, dtype=wanted, device=get_device())
    plain = isinstance(value, (list, tuple))
    found = _own(np.asarray(value))
    if plain and found.dtype == torch.float64:
        wanted = wanted or torch.get_default_dtype()
    return found.to(device=get_device(), dtype=wanted)


def _own(value: np.ndarray[Any, Any]) -> Tensor:
    """A tensor of PyTorch's with a copy of the numbers."""
    name = value.dtype.name
    if name in NARROW:
        value = value.astype(NARROW[name])
    # PyTorch takes neither another order of bytes nor strides that run backwards.
    value = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
    if value.dtype.kind == "V" and hasattr(ml_dtypes, name):
        of_bits = torch.from_numpy(value.view(f"i{value.dtype.itemsize}"))
        return of_bits.view(getattr(torch, name))
    return torch.from_numpy(value)


def to_numpy(value: Any, dtype: Any = None) -> Any:
    """The numbers as a NumPy array, in a dtype if one is given."""
    if is_tensor(value):
        value = _as_numpy(value)
    return np.asarray(value, dtype)


def _as_numpy(tensor: Tensor) -> np.ndarray[Any, Any]:
    while functorch.is_functorch_wrapped_tensor(tensor) and _differentiates(tensor):
        tensor = functorch.get_unwrapped(tensor)
    with temporarily_clear_interpreter_stack():  # which would wrap whatever is made of it
        tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
        name = name_of(tensor.dtype)
        if hasattr(np, name) or not hasattr(ml_dtypes, name):
            return tensor.numpy()
        bits = torch.int8 if tensor.dtype.itemsize == 1 else torch.int16
        found: Any = tensor.contiguous().view(bits).numpy()
        return found.view(getattr(ml_dtypes, name))


def _differentiates(tensor: Tensor) -> bool:
    """Whether it is a tensor that `torch.func.grad` or the like has wrapped."""
    return bool(functorch.is_gradtrackingtensor(tensor))


def has_numbers(tensor: Any) -> bool:
    """Whether a tensor can be looked at as a NumPy array."""
    if not is_tensor(tensor):
        return True
    if torch.compiler.is_dynamo_compiling():
        return False
    while functorch.is_functorch_wrapped_tensor(tensor):
        if not _differentiates(tensor):
            return False
        tensor = functorch.get_unwrapped(tensor)
    return not (isinstance(tensor, FakeTensor) or tensor.is_meta)


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch, with numbers or while it traces."""
    return isinstance(value, torch.Tensor)


def cast(value: Any, dtype: Any) -> Tensor:
    """In another dtype."""
    return value.to(dtype_of(dtype)) if is_tensor(value) else constant(value, dtype)


def tensor(value: Any) -> Tensor:
    """An argument as a tensor."""
    return value if is_tensor(value) else constant(value)


def tensors(*values: Any) -> list[Tensor]:
    """Arguments as tensors; a number of Python's has the dtype of the others, as in NumPy."""
    given = next((value for value in values if is_tensor(value)), None)
    found = []
    for value in values:
        if is_tensor(value):
            found.append(value)
        elif given is None:
            found.append(constant(value))
        else:
            keeps = isinstance(value, numbers.Real) and not isinstance(value, np.generic)
            fits = keeps and (isinstance(value, numbers.Integral) or is_floating(given.dtype))
            found.append(constant(value, given.dtype if fits else None).to(given.device))
    return found
