"""Array maths on TensorFlow's tensors: what `engines/arrays.py` asks of a backend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.tensorflow import summation
from keras_curvature.engines.tensorflow.compilation import stands_alone

abs = tf.abs
all = tf.reduce_all
any = tf.reduce_any
arange = tf.range
argmax = tf.argmax
array = tf.convert_to_tensor
broadcast_to = tf.broadcast_to
cast = tf.cast
copy = tf.identity
concatenate = tf.concat
constant = tf.constant
diagonal = tf.linalg.diag_part
dtype_of = tf.as_dtype
einsum = tf.einsum
exp = tf.exp
eye = tf.eye
is_tensor = tf.is_tensor
matmul = tf.matmul
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
repeat = tf.repeat
reshape = tf.reshape
sign = tf.sign
spec = tf.TensorSpec
split = tf.split
square = tf.square
stack = tf.stack
std = tf.math.reduce_std
sum = tf.reduce_sum
take = tf.gather
tensordot = tf.tensordot
tile = tf.tile
trace = tf.linalg.trace
transpose = tf.transpose
unstack = tf.unstack
where = tf.where
zeros = tf.zeros
zeros_like = tf.zeros_like

multiply_no_nan = tf.math.multiply_no_nan
"""The product, and 0 where the second factor is, be the first one infinite or NaN."""

Array = tf.Tensor


def lengths(tensor: tf.Tensor) -> Any:
    """The sizes of all axes, also of those that a graph does not know."""
    return tf.shape(tensor)


def key(tensor: tf.Tensor) -> Hashable:
    """Stands for this very tensor in a dict."""
    return tensor.ref()


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


def sum_over_directions(stack: tf.Tensor) -> tf.Tensor:
    """The sum of a stack over its first axis, which stays, with length 1."""
    return summation.summed(stack)


def sum_of_squares_over_directions(stack: tf.Tensor) -> tf.Tensor:
    """The same of its squares."""
    if stack.dtype.is_floating and stands_alone():
        return summation.summed_squares(stack)
    return summation.summed(tf.square(stack))


def widened(narrow: tf.DType, dtype: tf.DType) -> tf.DType:
    """The dtype that stands for `narrow` in an evaluation in `dtype`."""
    if narrow.is_floating and narrow.size < dtype.size:
        return dtype
    if narrow == tf.complex64 and dtype == tf.float64:
        return tf.complex128
    return narrow
