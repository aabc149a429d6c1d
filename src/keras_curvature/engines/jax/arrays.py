"""Tensor maths on JAX's arrays: what `engines/arrays.py` asks of a backend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.experimental.sparse import JAXSparse

from keras_curvature.engines.jax import stacks
from keras_curvature.typing import Tensor

Array = jax.Array

abs = jnp.abs
all = jnp.all
any = jnp.any
arange = jnp.arange
broadcast_to = jnp.broadcast_to
concatenate = jnp.concatenate
copy = jnp.copy
einsum = jnp.einsum
exp = jnp.exp
eye = jnp.eye
full = jnp.full
isfinite = jnp.isfinite
linspace = jnp.linspace
log = jnp.log
matrix_transpose = jnp.matrix_transpose
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
qr = jnp.linalg.qr
relu = jax.nn.relu
repeat = jnp.repeat
reshape = jnp.reshape
scaled = stacks.scaled
sigmoid = jax.nn.sigmoid
sign = jnp.sign
sqrt = jnp.sqrt
square = jnp.square
squeeze = jnp.squeeze
stack = jnp.stack
std = jnp.std
stop_gradient = jax.lax.stop_gradient
sum = jnp.sum
sum_of_squares_over_directions = stacks.sum_of_squares_over_directions
sum_over_directions = stacks.sum_over_directions
tensordot = jnp.tensordot
tile = jnp.tile
to_numpy = np.asarray
transpose = jnp.transpose
where = jnp.where
zeros = jnp.zeros
zeros_like = jnp.zeros_like


DROPS_WHAT_IS_NOT_USED = True
"""Whether what is computed and not used costs nothing: it is left out of what is compiled."""


@dataclass(frozen=True)
class Spec:
    """The shape and the dtype of an array; a size of `None` may be any."""

    shape: tuple[int | None, ...]
    dtype: Any


def spec(shape: Sequence[int | None], dtype: Any) -> Spec:
    """A shape and a dtype."""
    return Spec(tuple(shape), jnp.dtype(dtype))


def argmax(tensor: Tensor, axis: int) -> Tensor:
    """The place of the first largest entry.

    JAX cannot compile its own in float64 inside of a `jax.jit` of a user who has that off.
    """
    largest = tensor == jnp.max(tensor, axis=axis, keepdims=True)
    return jax.lax.argmax(largest, axis % tensor.ndim, "int32")


def argmin(tensor: Tensor, axis: int) -> Tensor:
    """The place of the first smallest entry."""
    return argmax(-tensor, axis)


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
    return value if _is_of(value, dtype) else jnp.asarray(value, dtype_of(dtype))


def _is_of(value: Any, dtype: Any) -> bool:
    return is_tensor(value) and value.dtype == dtype_of(dtype) and not value.weak_type


def constant(value: Any, dtype: Any = None) -> Tensor:
    """An array of a number or of a NumPy array."""
    return jnp.asarray(value, dtype)


def divide_no_nan(a: Tensor, b: Tensor) -> Tensor:
    """The quotient, and 0 where the divisor is."""
    nothing = b == 0
    return jnp.where(nothing, 0, a / jnp.where(nothing, 1, b))


def diag(vectors: Tensor, k: int = 0) -> Tensor:
    """Matrices with these on a diagonal."""
    return jax.vmap(lambda vector: jnp.diag(vector, k))(vectors)


def diagonal(matrices: Tensor) -> Tensor:
    """The diagonals along the last two axes."""
    return jnp.diagonal(matrices, axis1=-2, axis2=-1)


def trace(matrices: Tensor) -> Tensor:
    """Their sums."""
    return jnp.trace(matrices, axis1=-2, axis2=-1)


def dtype_of(name: Any) -> np.dtype[Any]:
    """The dtype of a name."""
    return jnp.dtype(name)


def name_of(dtype: Any) -> str:
    """The name of a dtype, as in `"float32"`."""
    return str(jnp.dtype(dtype).name)


@jax.custom_jvp
def eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of symmetric matrices.

    The derivative leaves the vectors of equal eigenvalues as they are; JAX's own is NaN there.
    """
    values, vectors = jnp.linalg.eigh(matrices)
    return values, vectors


@eigh.defjvp
def _eigh_jvp(primals: Any, tangents: Any) -> Any:
    values, vectors = eigh(*primals)
    change = jnp.matrix_transpose(vectors) @ tangents[0] @ vectors
    apart = values[..., None, :] - values[..., :, None]
    turn = divide_no_nan(change, apart)
    return (values, vectors), (diagonal(change), vectors @ turn)


def eps(dtype: Any) -> float:
    """Unit of rounding of a dtype."""
    return float(jnp.finfo(dtype).eps)


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


def real_dtype(dtype: Any) -> Any:
    """Of the real numbers that numbers of a dtype consist of."""
    return jnp.finfo(dtype).dtype


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


def is_symbol(size: Any) -> bool:
    """Whether a size is not known, as that of the batch in what JAX exports."""
    return bool(export.is_symbolic_dim(size))


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


def matvec(matrices: Tensor, vectors: Tensor, *, transpose_a: bool = False) -> Tensor:
    """Products of matrices with a vector each."""
    a = jnp.matrix_transpose(matrices) if transpose_a else matrices
    return jnp.matmul(a, vectors[..., None])[..., 0]


def multiply_no_nan(a: Tensor, b: Tensor) -> Tensor:
    """The product, and 0 where the second factor is, be the first one infinite or NaN.

    Where both are finite the derivative is that of the product, also at 0.
    """
    return jnp.where((b == 0) & ~jnp.isfinite(a), 0, a) * b


def in_turns(
    function: Callable[[Tensor], Tensor], parts: Sequence[Tensor], like: Tensor
) -> tuple[list[Tensor], None]:
    """`function` of a stack: what is compiled goes through memory as it does."""
    (stack,) = parts
    return [function(stack)], None


def once(tensor: Tensor | None) -> Tensor | None:
    """A tensor that is computed once: XLA would compute a slope again for every direction."""
    return None if tensor is None else jax.lax.optimization_barrier(tensor)


def one_hot(indexes: Tensor, depth: int) -> Tensor:
    """Whether each of so many places is the one of an index, along a new last axis."""
    return indexes[..., None] == jnp.arange(depth)


def split(tensor: Tensor, sizes: Sequence[int], axis: int) -> list[Tensor]:
    """Parts of so many entries each along an axis."""
    return jnp.split(tensor, np.cumsum(sizes)[:-1], axis=axis)


def svd(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Left singular vectors, and singular values."""
    left, values, _ = jnp.linalg.svd(matrices, full_matrices=False)
    return left, values


def take(tensor: Tensor, indexes: Any, axis: int = 0) -> Tensor:
    """The entries at some places along an axis: by NumPy of what is NumPy's."""
    if isinstance(tensor, np.ndarray):
        return np.take(tensor, np.asarray(indexes), axis=axis)
    return jnp.take(tensor, jnp.asarray(indexes), axis=axis)


def take_for_each(tensor: Tensor, indexes: Tensor) -> Tensor:
    """Of each slice along the first axis the entries at its own indexes."""
    return jax.vmap(lambda part, places: part[places])(tensor, indexes)


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


def while_loop(
    goes_on: Callable[..., Tensor],
    advance: Callable[..., Sequence[Tensor]],
    state: Sequence[Tensor],
    most: int,
) -> Sequence[Tensor]:
    """The state that `advance(*state)` leaves when `goes_on(*state)` does not, or after so many.

    A scan, which does nothing from there on: through a loop of JAX's there is no gradient.
    """

    def turn(state: Any, _: None) -> tuple[Any, None]:
        return jax.lax.cond(goes_on(*state), lambda s: advance(*s), lambda s: s, state), None

    found: Sequence[Tensor] = jax.lax.scan(turn, tuple(state), None, length=most)[0]
    return found


def widest() -> Any:
    """The widest dtype of real numbers that is switched on here."""
    return jax.dtypes.canonicalize_dtype("float64")


def widened(narrow: Any, dtype: Any) -> Any:
    """The dtype that stands for `narrow` in an evaluation in `dtype`."""
    if is_floating(narrow) and itemsize(narrow) < itemsize(dtype):
        return jnp.dtype(dtype)
    if narrow == jnp.complex64 and dtype == jnp.float64:
        return jnp.dtype("complex128")
    return narrow
