"""Sums and the like along axes, with NumPy's arguments and its meaning of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from keras_curvature.engines.torch import conversion
from keras_curvature.typing import Tensor

Axis: TypeAlias = int | Sequence[int] | None


def _axes(tensor: Tensor, axis: Axis) -> tuple[int, ...]:
    """All axes for `None`; PyTorch takes an empty tuple for all as well."""
    if axis is None:
        return tuple(range(tensor.ndim))
    return tuple(axis) if isinstance(axis, Sequence) else (axis,)


def all(tensor: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all are true."""
    return _reduced(torch.all, conversion.tensor(tensor) != 0, axis, keepdims)


def any(tensor: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any is true."""
    return _reduced(torch.any, conversion.tensor(tensor) != 0, axis, keepdims)


def max(tensor: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest; its derivative is shared among equal ones."""
    return _reduced(torch.amax, conversion.tensor(tensor), axis, keepdims)


def min(tensor: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest; its derivative is shared among equal ones."""
    return _reduced(torch.amin, conversion.tensor(tensor), axis, keepdims)


def mean(tensor: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean."""
    return _reduced(torch.mean, conversion.tensor(tensor), axis, keepdims)


def norm(tensor: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The Euclidean norm."""
    tensor = conversion.tensor(tensor)
    return torch.linalg.vector_norm(tensor, dim=_axes(tensor, axis), keepdim=keepdims)


def std(tensor: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The standard deviation of all that there are, which is not PyTorch's own default."""
    tensor = conversion.tensor(tensor)
    return torch.std(tensor, dim=_axes(tensor, axis), correction=0, keepdim=keepdims)


def sum(tensor: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum; that of small integers stays one, which is not PyTorch's own default."""
    tensor = conversion.tensor(tensor)
    dtype = torch.int64 if tensor.dtype == torch.bool else tensor.dtype
    return _reduced(torch.sum, tensor.to(dtype), axis, keepdims, dtype=dtype)


def _reduced(
    reduction: Callable[..., Tensor], tensor: Tensor, axis: Axis, keepdims: bool, **options: Any
) -> Tensor:
    axes = _axes(tensor, axis)
    return reduction(tensor, dim=axes, keepdim=keepdims, **options) if axes else tensor


def argmax(tensor: Any, axis: int) -> Tensor:
    """The place of the first largest entry."""
    return torch.argmax(conversion.tensor(tensor), dim=axis)


def argmin(tensor: Any, axis: int) -> Tensor:
    """The place of the first smallest entry."""
    return torch.argmin(conversion.tensor(tensor), dim=axis)
