"""Chunks of examples inside of a graph, where their number may not be known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.chunking import WHOLE, Chunk, even
from keras_curvature.engines.tensorflow.private import inside_xla


def filled_up(tensor: tf.Tensor, rows: Any) -> tf.Tensor:
    """`tensor` with copies of its last row behind it, as many as make it `rows`.

    Not gathered, for the gradient of that is `IndexedSlices`, which would come out at the user's.
    """
    missing = rows - tf.shape(tensor)[0]
    return tf.concat([tensor, tf.repeat(tensor[-1:], missing, axis=0)], axis=0)


def in_graph(
    compute: Chunk,
    tensors: Sequence[tf.Tensor],
    size: int,
    signature: dict[str, tf.TensorSpec],
) -> dict[str, tf.Tensor]:
    """The same inside a `tf.function`, as a loop over chunks of equal size.

    The last chunk is filled up with copies of the last example, which are cut off again.
    """
    n = tensors[0].shape[0]
    if size == WHOLE or (n is not None and n <= size):
        return compute(*tensors)
    count = tf.shape(tensors[0])[0] if n is None else n
    if not (n is None and inside_xla()):  # where the size of a chunk has to be a number
        size = even(count, tf.minimum(size, count) if n is None else size)
    chunks = -(-count // size)

    def stacked(tensor: tf.Tensor) -> tf.Tensor:
        return tf.reshape(filled_up(tensor, chunks * size), [chunks, size, *tensor.shape[1:]])

    found = tf.map_fn(
        lambda given: compute(*given),
        [stacked(tensor) for tensor in tensors],
        fn_output_signature=signature,
        parallel_iterations=1,
    )
    return {
        name: tf.reshape(part, [-1, *signature[name].shape[1:]])[:count]
        for name, part in found.items()
    }
