"""Tensor maths on JAX's arrays: what `engines/arrays.py` asks of a backend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import JAXSparse

from keras_curvature.typing import Tensor

Array = jax.Array

abs = jnp.abs
all = jnp.all
any = jnp.any
arange = jnp.arange
argmax = jnp.argmax
broadcast_to = jnp.broadcast_to
concatenate = jnp.concatenate
copy = jnp.copy
einsum = jnp.einsum
exp = jnp.exp
eye = jnp.eye
clip = jnp.clip
max = jnp.max
maximum = jnp.maximum
mean = jnp.mean
min = jnp.min
minimum = jnp.minimum
norm = jnp.linalg.norm
ones = jnp.ones
ones_like = jnp.ones_like
pad = jnp.pad
repeat = jnp.repeat
reshape = jnp.reshape
sign = jnp.sign
square = jnp.square
stack = jnp.stack
std = jnp.std
sum = jnp.sum
tensordot = jnp.tensordot
tile = jnp.tile
transpose = jnp.transpose
where = jnp.where
zeros = jnp.zeros
zeros_like = jnp.zeros_like


@dataclass(frozen=True)
class Spec:
    """The shape and the dtype of an array; a size of `None` may be any."""

    shape: tuple[int | None, ...]
    dtype: Any


def spec(shape: Sequence[int | None], dtype: Any) -> Spec:
    """A shape and a dtype."""
    return Spec(tuple(shape), jnp.dtype(dtype))


def array(value: Any) -> Any:
    """A JAX array as it is; anything else as a NumPy array, whose float64 JAX would round."""
    if is_tensor(value):
        return value
    found = np.asarray(value)
    if is_string(found.dtype):
        raise TypeError(
            f"Inputs must hold numbers: JAX has no arrays of text. Received: {found.dtype}. Encode "
            "text before the model, or take Keras's TensorFlow backend."
        )
    return found


def cast(value: Any, dtype: Any) -> Tensor:
    """In another dtype."""
    return jnp.asarray(value, dtype_of(dtype))


def constant(value: Any, dtype: Any = None) -> Tensor:
    """An array of a number or of a NumPy array."""
    return jnp.asarray(value, dtype)


def divide_no_nan(a: Tensor, b: Tensor) -> Tensor:
    """The quotient, and 0 where the divisor is."""
    nothing = b == 0
    return jnp.where(nothing, 0, a / jnp.where(nothing, 1, b))


def diagonal(matrices: Tensor) -> Tensor:
    """The diagonals along the last two axes."""
    return jnp.diagonal(matrices, axis1=-2, axis2=-1)


def trace(matrices: Tensor) -> Tensor:
    """Their sums."""
    return jnp.trace(matrices, axis1=-2, axis2=-1)


def dtype_of(name: Any) -> np.dtype[Any]:
    """The dtype of a name."""
    return jnp.dtype(name)


def is_tensor(value: Any) -> bool:
    """Whether it is an array of JAX, or stands for one while JAX traces."""
    return isinstance(value, jax.Array)


def is_floating(dtype: Any) -> bool:
    """Whether numbers of a dtype have a derivative and are real."""
    return jnp.issubdtype(dtype, jnp.floating)


def has_derivative(dtype: Any) -> bool:
    """Whether numbers of a dtype have a derivative: real ones and complex ones."""
    return jnp.issubdtype(dtype, jnp.inexact)


def is_integer(dtype: Any) -> bool:
    """Whether numbers of a dtype are whole."""
    return jnp.issubdtype(dtype, jnp.integer)


def is_real(dtype: Any) -> bool:
    """Whether a dtype is one of real numbers."""
    return not jnp.issubdtype(dtype, jnp.complexfloating)


def is_numeric(dtype: Any) -> bool:
    """Whether a dtype is one of real numbers or truth values."""
    return is_floating(dtype) or jnp.issubdtype(dtype, jnp.integer) or jnp.dtype(dtype).kind == "b"


def is_string(dtype: Any) -> bool:
    """Whether a dtype is that of text, which JAX has none of."""
    return bool(jnp.dtype(dtype).kind in "SUO")


def is_dense(value: Any) -> bool:
    """Whether a value is no array that leaves entries out."""
    return not isinstance(value, JAXSparse)


def has_numbers(tensor: Tensor) -> bool:
    """Whether a tensor can be looked at as a NumPy array."""
    return not isinstance(tensor, jax.core.Tracer)


def holder_of(variable: Any) -> Any:
    """The Keras variable itself: its array is another one after each step of training."""
    return variable


def itemsize(dtype: Any) -> int:
    """Bytes of a number."""
    return int(jnp.dtype(dtype).itemsize)


def key(tensor: Tensor) -> Hashable:
    """Stands for this very array in a dict."""
    return id(tensor)


def lengths(tensor: Tensor) -> tuple[int, ...]:
    """The sizes of all axes."""
    return tensor.shape


def lowest(dtype: Any) -> Any:
    """The smallest number of a dtype."""
    return jnp.asarray(jnp.finfo(dtype).min, dtype)


def matmul(a: Tensor, b: Tensor, *, transpose_b: bool = False) -> Tensor:
    """Products of matrices."""
    return jnp.matmul(a, jnp.swapaxes(b, -1, -2) if transpose_b else b)


def multiply_no_nan(a: Tensor, b: Tensor) -> Tensor:
    """The product, and 0 where the second factor is, be the first one infinite or NaN."""
    nothing = b == 0
    return jnp.where(nothing, jnp.zeros((), b.dtype), jnp.where(nothing, 1, a) * b)


def once(tensor: Tensor | None) -> Tensor | None:
    """A tensor that is computed once: XLA would compute a slope again for every direction."""
    return None if tensor is None else jax.lax.optimization_barrier(tensor)


def one_hot(indexes: Tensor, depth: int) -> Tensor:
    """Whether each of so many places is the one of an index, along a new last axis."""
    return indexes[..., None] == jnp.arange(depth)


def split(tensor: Tensor, sizes: Sequence[int], axis: int) -> list[Tensor]:
    """Parts of so many entries each along an axis."""
    return jnp.split(tensor, np.cumsum(sizes)[:-1], axis=axis)


def take(tensor: Tensor, indexes: Any, axis: int = 0) -> Tensor:
    """The entries at some places along an axis: by NumPy of what is NumPy's."""
    if isinstance(tensor, np.ndarray):
        return np.take(tensor, np.asarray(indexes), axis=axis)
    return jnp.take(tensor, jnp.asarray(indexes), axis=axis)


def unstack(tensor: Tensor, num: int | None = None) -> list[Tensor]:
    """The slices along the first axis."""
    return list(tensor)


def map_slices(
    function: Callable[[Tensor], Tensor], stack: Tensor, like: Tensor, at_once: int = 1
) -> Tensor:
    """`function` of one slice of a stack after the other; the results are like a given array."""
    return jax.lax.map(function, stack)


def sum_of(part: Callable[[Tensor], Tensor], blocks: Tensor) -> Tensor:
    """The sum of `part` over the slices of `blocks`, one after the other."""

    def add(total: Tensor, block: Tensor) -> tuple[Tensor, None]:
        return total + part(block), None

    return jax.lax.scan(add, part(blocks[0]), blocks[1:])[0]


def pulled_back(
    function: Callable[[Tensor], Tensor], point: Tensor, weights: Sequence[Tensor]
) -> list[Tensor]:
    """The gradients of `weight . function` at a point, of each of some weights."""
    result, pull = jax.vjp(function, point)
    return [pull(jnp.broadcast_to(weight, result.shape))[0] for weight in weights]


ADDED_UP = 16
"""Directions up to which a sum over them is written out: beyond, a loop is shorter to compile."""


def sum_over_directions(stack: Tensor) -> Tensor:
    """The sum of a stack over its first axis, which stays, with length 1."""
    return _summed(stack, lambda part: part)


def sum_of_squares_over_directions(stack: Tensor) -> Tensor:
    """The same of its squares."""
    return _summed(stack, jnp.square)


def _summed(stack: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """On a CPU by additions: XLA's reduction along the first axis takes 20 to 50 times as long.

    Seen at 8 and 64 directions of 512 and 128 examples with 256 units each.
    """
    if jax.default_backend() != "cpu" or stack.shape[0] == 1:
        return jnp.sum(function(stack), axis=0, keepdims=True)
    if stack.shape[0] <= ADDED_UP:
        return functools.reduce(jnp.add, map(function, stack))[None]
    first = function(stack[0])
    return jax.lax.scan(lambda sum_, part: (sum_ + function(part), None), first, stack[1:])[0][None]


def widened(narrow: Any, dtype: Any) -> Any:
    """The dtype that stands for `narrow` in an evaluation in `dtype`."""
    if is_floating(narrow) and itemsize(narrow) < itemsize(dtype):
        return jnp.dtype(dtype)
    if narrow == jnp.complex64 and dtype == jnp.float64:
        return jnp.dtype("complex128")
    return narrow
