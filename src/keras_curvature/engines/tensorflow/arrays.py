"""Array maths on TensorFlow's tensors: what `engines/arrays.py` asks of a backend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines.tensorflow import sums_of_squares
from keras_curvature.engines.tensorflow.compilation import stands_alone

abs = tf.abs
all = tf.reduce_all
any = tf.reduce_any
arange = tf.range
argmax = tf.argmax
argmin = tf.argmin
array = tf.convert_to_tensor
broadcast_to = tf.broadcast_to
cast = tf.cast
copy = tf.identity
concatenate = tf.concat
constant = tf.constant
diag = tf.linalg.diag
diagonal = tf.linalg.diag_part
dtype_of = tf.as_dtype
eigh = tf.linalg.eigh
einsum = tf.einsum
exp = tf.exp
eye = tf.eye
full = tf.fill
is_tensor = tf.is_tensor
isfinite = tf.math.is_finite
log = tf.math.log
matmul = tf.matmul
matrix_transpose = tf.linalg.matrix_transpose
matvec = tf.linalg.matvec
clip = tf.clip_by_value
divide_no_nan = tf.math.divide_no_nan
max = tf.reduce_max
maximum = tf.maximum
mean = tf.reduce_mean
min = tf.reduce_min
minimum = tf.minimum
norm = tf.norm
ones = tf.ones
ones_like = tf.ones_like
pad = tf.pad
qr = tf.linalg.qr
relu = tf.nn.relu
repeat = tf.repeat
reshape = tf.reshape
sigmoid = tf.sigmoid
sign = tf.sign
spec = tf.TensorSpec
split = tf.split
sqrt = tf.sqrt
square = tf.square
squeeze = tf.squeeze
stack = tf.stack
std = tf.math.reduce_std
stop_gradient = tf.stop_gradient
sum = tf.reduce_sum
take = tf.gather
tensordot = tf.tensordot
tile = tf.tile
to_numpy = np.asarray
trace = tf.linalg.trace
transpose = tf.transpose
unstack = tf.unstack
where = tf.where
zeros = tf.zeros
zeros_like = tf.zeros_like

multiply_no_nan = tf.math.multiply_no_nan
"""The product, and 0 where the second factor is, be the first one infinite or NaN."""

Array = tf.Tensor


DROPS_WHAT_IS_NOT_USED = True
"""Whether what is computed and not used costs nothing: it is left out of what is compiled."""


def lengths(tensor: tf.Tensor) -> Any:
    """The sizes of all axes, also of those that a graph does not know."""
    return tf.shape(tensor)


def key(tensor: tf.Tensor) -> Hashable:
    """Stands for this very tensor in a dict."""
    return tensor.ref()


def name_of(dtype: Any) -> str:
    """The name of a dtype, as in `"float32"`."""
    return str(tf.as_dtype(dtype).name)


def eps(dtype: tf.DType) -> float:
    """Unit of rounding of a dtype."""
    return float(np.finfo(dtype.as_numpy_dtype).eps)


def itemsize(dtype: tf.DType) -> int:
    """Bytes of a number."""
    return int(dtype.size)


def is_floating(dtype: tf.DType) -> bool:
    """Whether numbers of a dtype have a derivative and are real."""
    return bool(dtype.is_floating)


def is_integer(dtype: tf.DType) -> bool:
    """Whether numbers of a dtype are whole."""
    return bool(dtype.is_integer)


def is_real(dtype: tf.DType) -> bool:
    """Whether a dtype is one of real numbers."""
    return not dtype.is_complex and dtype != tf.string


def is_numeric(dtype: tf.DType) -> bool:
    """Whether a dtype is one of real numbers or truth values."""
    return bool(dtype.is_floating or dtype.is_integer or dtype.is_bool)


def is_string(dtype: tf.DType) -> bool:
    """Whether a dtype is that of text."""
    return bool(dtype == tf.string)


def is_dense(value: Any) -> bool:
    """Whether a value is no tensor that leaves entries out."""
    return not isinstance(value, (tf.RaggedTensor, tf.SparseTensor))


def has_numbers(tensor: tf.Tensor) -> bool:
    """Whether a tensor can be looked at as a NumPy array."""
    return hasattr(tensor, "numpy") and bool(tensor.dtype.is_numpy_compatible)


def holder_of(variable: Any) -> Any:
    """What holds the numbers of a Keras variable: another one for one that is yet to be created."""
    return getattr(variable, "_value", variable)


def lowest(dtype: tf.DType) -> tf.Tensor:
    """The smallest number of a dtype."""
    return tf.constant(dtype.min, dtype)


def in_turns(
    function: Callable[[tf.Tensor], tf.Tensor], parts: Sequence[tf.Tensor], like: tf.Tensor
) -> tuple[list[tf.Tensor], None]:
    """`function` of a stack: what is compiled goes through memory as it does."""
    (stack,) = parts
    return [function(stack)], None


def once(tensor: tf.Tensor | None) -> tf.Tensor | None:
    """A tensor that is computed once, whoever uses it: as it is."""
    return tensor


def one_hot(indexes: tf.Tensor, depth: int) -> tf.Tensor:
    """Whether each of so many places is the one of an index, along a new last axis."""
    return tf.one_hot(indexes, depth, True, False, dtype=tf.bool)


def map_slices(
    function: Callable[[tf.Tensor], tf.Tensor],
    stack: tf.Tensor,
    like: tf.Tensor,
    at_once: int | None = None,
) -> Any:
    """`function` of each slice of a stack, so many at once; the results are like a given tensor."""
    signature = tf.TensorSpec(like.shape, like.dtype)
    return tf.map_fn(function, stack, parallel_iterations=at_once, fn_output_signature=signature)


def sum_of(part: Callable[[tf.Tensor], tf.Tensor], blocks: tf.Tensor) -> tf.Tensor:
    """The sum of `part` over the slices of `blocks`, one after the other."""

    def add(total: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        return total + part(tf.ensure_shape(block, blocks.shape[1:]))

    return tf.foldl(add, blocks[1:], part(blocks[0]), parallel_iterations=1)


def pulled_back(
    function: Callable[[tf.Tensor], tf.Tensor], point: tf.Tensor, weights: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """The gradients of `weight . function` at a point, of each of some weights."""
    found = []
    for weight in weights:
        with tf.GradientTape() as tape:
            tape.watch(point)
            result = function(point)
        found.append(tape.gradient(result, point, tf.broadcast_to(weight, tf.shape(result))))
    return found


def svd(matrices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Left singular vectors, and singular values."""
    values, left, _ = tf.linalg.svd(matrices)
    return left, values


def take_for_each(tensor: tf.Tensor, indexes: tf.Tensor) -> tf.Tensor:
    """Of each slice along the first axis the entries at its own indexes."""
    return tf.gather(tensor, indexes, batch_dims=1)


def while_loop(
    goes_on: Callable[..., tf.Tensor],
    advance: Callable[..., Sequence[tf.Tensor]],
    state: Sequence[tf.Tensor],
    most: int,
) -> Sequence[tf.Tensor]:
    """The state that `advance(*state)` leaves when `goes_on(*state)` does not, or after so many."""

    def turn(*before: tf.Tensor) -> Sequence[tf.Tensor]:
        after = advance(*before)
        for part, first in zip(after, state, strict=True):
            part.set_shape(first.shape)
        return after

    # XLA has to know how often a loop turns in order to differentiate it.
    found: Sequence[tf.Tensor] = tf.while_loop(
        goes_on, turn, state, parallel_iterations=1, maximum_iterations=most
    )
    return found


def widest() -> tf.DType:
    """The widest dtype of real numbers."""
    return tf.float64


def real_dtype(dtype: tf.DType) -> tf.DType:
    """Of the real numbers that numbers of a dtype consist of."""
    return dtype.real_dtype


def scaled(stack: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Every slice of a stack times a tensor of its size."""
    return factor * stack


def sum_over_directions(stack: tf.Tensor) -> tf.Tensor:
    """The sum of a stack over its first axis, which stays, with length 1."""
    return tf.reduce_sum(stack, axis=0, keepdims=True)


def sum_of_squares_over_directions(stack: tf.Tensor) -> tf.Tensor:
    """The same of its squares."""
    if stack.dtype.is_floating and stands_alone():
        return sums_of_squares.summed_squares(stack)
    return sum_over_directions(tf.square(stack))


def widened(narrow: tf.DType, dtype: tf.DType) -> tf.DType:
    """The dtype that stands for `narrow` in an evaluation in `dtype`."""
    if narrow.is_floating and narrow.size < dtype.size:
        return dtype
    if narrow == tf.complex64 and dtype == tf.float64:
        return tf.complex128
    return narrow
