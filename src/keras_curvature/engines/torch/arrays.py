"""Tensor maths on PyTorch's tensors: what `engines/arrays.py` asks of a backend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from keras.src.backend.torch.core import get_device

from keras_curvature.engines.torch import (
    conversion,
    dtypes,
    eigenvectors,
    loops,
    no_nan,
    reductions,
    stacks,
)
from keras_curvature.typing import Tensor

Array = torch.Tensor

all = reductions.all
any = reductions.any
argmax = reductions.argmax
argmin = reductions.argmin
array = conversion.array
cast = conversion.cast
constant = conversion.constant
divide_no_nan = no_nan.divide_no_nan
dtype_of = dtypes.dtype_of
eigh = eigenvectors.eigh
eps = dtypes.eps
has_derivative = dtypes.has_derivative
has_numbers = conversion.has_numbers
is_floating = dtypes.is_floating
is_integer = dtypes.is_integer
is_numeric = dtypes.is_numeric
is_real = dtypes.is_real
is_string = dtypes.is_string
is_tensor = conversion.is_tensor
itemsize = dtypes.itemsize
map_slices = loops.map_slices
max = reductions.max
mean = reductions.mean
min = reductions.min
multiply_no_nan = no_nan.multiply_no_nan
name_of = dtypes.name_of
norm = reductions.norm
in_turns = stacks.in_turns
scaled = stacks.scaled
std = reductions.std
stop_gradient = torch.Tensor.detach
sum = reductions.sum
sum_of = loops.sum_of
sum_of_squares_over_directions = stacks.sum_of_squares_over_directions
sum_over_directions = stacks.sum_over_directions
svd = eigenvectors.svd
to_numpy = conversion.to_numpy
while_loop = loops.while_loop
widened = dtypes.widened
widest = dtypes.widest


@dataclass(frozen=True)
class Spec:
    """The shape and the dtype of a tensor; a size of `None` may be any."""

    shape: tuple[int | None, ...]
    dtype: Any


DROPS_WHAT_IS_NOT_USED = False
"""Whether what is computed and not used costs nothing: PyTorch does what it is told."""


def spec(shape: Sequence[int | None], dtype: Any) -> Spec:
    """A shape and a dtype."""
    return Spec(tuple(shape), dtype_of(dtype))


def is_dense(value: Any) -> bool:
    """Whether a value is no tensor that leaves entries out."""
    return not is_tensor(value) or (value.layout == torch.strided and not value.is_nested)


def holder_of(variable: Any) -> Any:
    """The parameter that holds the numbers of a Keras variable, which training changes in place."""
    return getattr(variable, "_value", variable)


def is_symbol(size: Any) -> bool:
    """Whether a size is not known, as that of the batch in what PyTorch exports."""
    return isinstance(size, torch.SymInt)


def key(tensor: Tensor) -> Hashable:
    """Stands for this very tensor in a dict."""
    return id(tensor)


def lengths(tensor: Tensor) -> tuple[int, ...]:
    """The sizes of all axes."""
    return tuple(tensor.shape)


def lowest(dtype: Any) -> Tensor:
    """The smallest number of a dtype."""
    found = dtype_of(dtype)
    limits = torch.finfo(found) if is_floating(found) else torch.iinfo(found)
    return constant(limits.min, found)


def arange(*range_: Any) -> Tensor:
    """Whole numbers of a range."""
    return torch.arange(*range_, device=get_device())


def eye(size: int, dtype: Any = None) -> Tensor:
    """The identity matrix."""
    return torch.eye(size, dtype=_float(dtype), device=get_device())


def linspace(start: float, stop: float, count: int, dtype: Any = None) -> Tensor:
    """So many numbers at equal distances."""
    return torch.linspace(start, stop, count, dtype=_float(dtype), device=get_device())


def full(shape: Sequence[int], value: Any) -> Tensor:
    """The same number everywhere."""
    return conversion.tensor(value).expand(tuple(shape)).clone()


def ones(shape: Sequence[int], dtype: Any = None) -> Tensor:
    """1 everywhere."""
    return torch.ones(tuple(shape), dtype=_float(dtype), device=get_device())


def zeros(shape: Sequence[int], dtype: Any = None) -> Tensor:
    """0 everywhere."""
    return torch.zeros(tuple(shape), dtype=_float(dtype), device=get_device())


def _float(dtype: Any) -> Any:
    return torch.float32 if dtype is None else dtype_of(dtype)


def ones_like(tensor: Any) -> Tensor:
    """1 everywhere, in the shape and dtype of another tensor."""
    return torch.ones_like(conversion.tensor(tensor))


def zeros_like(tensor: Any) -> Tensor:
    """0 everywhere, in the shape and dtype of another tensor."""
    return torch.zeros_like(conversion.tensor(tensor))


def real_dtype(dtype: Any) -> Any:
    """Of the real numbers that numbers of a dtype consist of."""
    return dtype.to_real()


def one_hot(indexes: Any, depth: int) -> Tensor:
    """Whether each of so many places is the one of an index, along a new last axis."""
    indexes = conversion.tensor(indexes)
    return indexes[..., None] == torch.arange(depth, device=indexes.device)


def abs(tensor: Any) -> Tensor:
    """Absolute values."""
    return torch.abs(conversion.tensor(tensor))


def exp(tensor: Any) -> Tensor:
    """Exponentials."""
    return torch.exp(conversion.tensor(tensor))


def isfinite(tensor: Any) -> Tensor:
    """Whether numbers are neither infinite nor NaN."""
    return torch.isfinite(conversion.tensor(tensor))


def relu(tensor: Any) -> Tensor:
    """The number where it is positive, else 0."""
    return torch.relu(conversion.tensor(tensor))


def sigmoid(tensor: Any) -> Tensor:
    """The logistic function."""
    return torch.sigmoid(conversion.tensor(tensor))


def sign(tensor: Any) -> Tensor:
    """-1, 0 or 1."""
    return torch.sign(conversion.tensor(tensor))


def sqrt(tensor: Any) -> Tensor:
    """Square roots."""
    return torch.sqrt(conversion.tensor(tensor))


def square(tensor: Any) -> Tensor:
    """Squares."""
    return torch.square(conversion.tensor(tensor))


def log(tensor: Any) -> Tensor:
    """Exponentials."""
    return torch.log(conversion.tensor(tensor))


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of two."""
    return torch.maximum(*conversion.tensors(a, b))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of two."""
    return torch.minimum(*conversion.tensors(a, b))


def clip(tensor: Any, low: Any, high: Any) -> Tensor:
    """The nearest number between two."""
    return minimum(maximum(tensor, low), high)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """The one where a condition holds, else the other."""
    (which,), (a, b) = conversion.tensors(condition), conversion.tensors(a, b)
    return torch.where(which.to(a.device), a, b)


def broadcast_to(tensor: Any, shape: Sequence[int]) -> Tensor:
    """The same slices along axes of length 1 and new ones."""
    return torch.broadcast_to(conversion.tensor(tensor), tuple(shape))


def concatenate(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """One behind the other along an axis."""
    return torch.cat(conversion.tensors(*tensors), dim=axis)


def copy(tensor: Any) -> Tensor:
    """Another tensor of the same numbers."""
    return torch.clone(conversion.tensor(tensor))


def matrix_transpose(tensor: Any) -> Tensor:
    """The last two axes exchanged."""
    return torch.transpose(conversion.tensor(tensor), -1, -2)


def pad(tensor: Any, widths: Sequence[Sequence[int]]) -> Tensor:
    """Zeros before and behind along each axis."""
    backwards = [width for pair in reversed(widths) for width in pair]
    return torch.nn.functional.pad(conversion.tensor(tensor), backwards)


def repeat(tensor: Any, count: int, axis: int) -> Tensor:
    """Each entry along an axis so many times, one after the other."""
    # Not `repeat_interleave`, whose gradient gathers one entry after the other.
    tensor = conversion.tensor(tensor)
    axis = axis % tensor.ndim
    shape = list(tensor.shape)
    wide = tensor.unsqueeze(axis + 1).expand(*shape[: axis + 1], count, *shape[axis + 1 :])
    return wide.reshape([*shape[:axis], shape[axis] * count, *shape[axis + 1 :]])


def reshape(tensor: Any, shape: Sequence[int]) -> Tensor:
    """In another shape; one size may be -1."""
    return torch.reshape(conversion.tensor(tensor), tuple(shape))


def split(tensor: Any, sizes: Sequence[int], axis: int) -> list[Tensor]:
    """Parts of so many entries each along an axis."""
    return list(torch.split(conversion.tensor(tensor), list(sizes), dim=axis))


def squeeze(tensor: Any, axis: int) -> Tensor:
    """Without an axis of length 1."""
    return torch.squeeze(conversion.tensor(tensor), axis)


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Along a new axis."""
    return torch.stack(conversion.tensors(*tensors), dim=axis)


def take(tensor: Any, indexes: Any, axis: int = 0) -> Any:
    """The entries at some places along an axis: by NumPy of what is NumPy's."""
    if not is_tensor(tensor):
        return np.take(tensor, to_numpy(indexes), axis=axis)
    places = conversion.tensor(indexes).to(tensor.device, torch.int64)
    axis = axis % tensor.ndim
    shape = [*tensor.shape[:axis], *places.shape, *tensor.shape[axis + 1 :]]
    return torch.index_select(tensor, axis, places.reshape(-1)).reshape(shape)


def take_for_each(tensor: Tensor, indexes: Tensor) -> Tensor:
    """Of each slice along the first axis the entries at its own indexes."""
    beyond = tensor.shape[2:]
    places = indexes.reshape(*indexes.shape, *[1] * len(beyond))
    return torch.gather(tensor, 1, places.expand(*indexes.shape, *beyond))


def tile(tensor: Any, times: Sequence[int]) -> Tensor:
    """The whole so many times along each axis."""
    return torch.tile(conversion.tensor(tensor), tuple(times))


def transpose(tensor: Any, perm: Sequence[int] | None = None) -> Tensor:
    """The axes in another order: backwards, if none is given."""
    tensor = conversion.tensor(tensor)
    return torch.permute(tensor, tuple(perm or reversed(range(tensor.ndim))))


def unstack(tensor: Any, num: int | None = None) -> list[Tensor]:
    """The slices along the first axis."""
    return list(tensor)


def diag(vectors: Any, k: int = 0) -> Tensor:
    """Matrices with these on a diagonal."""
    return torch.diag_embed(conversion.tensor(vectors), offset=k)


def diagonal(matrices: Any) -> Tensor:
    """The diagonals along the last two axes."""
    return torch.diagonal(conversion.tensor(matrices), dim1=-2, dim2=-1)


def trace(matrices: Any) -> Tensor:
    """Their sums."""
    return torch.sum(diagonal(matrices), dim=-1)


def einsum(equation: str, *tensors: Any) -> Tensor:
    """Sums of products, as Einstein wrote them."""
    return torch.einsum(equation, *conversion.tensors(*tensors))


def matmul(a: Any, b: Any, *, transpose_b: bool = False) -> Tensor:
    """Products of matrices."""
    a, b = conversion.tensors(a, b)
    return torch.matmul(a, torch.transpose(b, -1, -2) if transpose_b else b)


def matvec(matrices: Any, vectors: Any, *, transpose_a: bool = False) -> Tensor:
    """Products of matrices with a vector each."""
    matrices, vectors = conversion.tensors(matrices, vectors)
    a = torch.transpose(matrices, -1, -2) if transpose_a else matrices
    return torch.matmul(a, vectors[..., None])[..., 0]


def tensordot(a: Any, b: Any, axes: Any) -> Tensor:
    """Sums of products over some axes of each."""
    return torch.tensordot(*conversion.tensors(a, b), dims=axes)


def qr(matrices: Any) -> tuple[Tensor, Tensor]:
    """Orthonormal columns, and a triangular factor."""
    q, r = torch.linalg.qr(conversion.tensor(matrices))
    return q, r


def once(tensor: Tensor | None) -> Tensor | None:
    """A tensor that is computed once, whoever uses it: as it is."""
    return tensor


def pulled_back(
    function: Callable[[Tensor], Tensor], point: Tensor, weights: Sequence[Tensor]
) -> list[Tensor]:
    """The gradients of `weight . function` at a point, of each of some weights."""
    result, pull = torch.func.vjp(function, point)
    return [pull(weight.expand_as(result))[0] for weight in weights]
