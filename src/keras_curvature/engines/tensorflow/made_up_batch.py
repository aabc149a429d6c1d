"""Looking at a model while a graph is built, where a batch has no numbers yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow.flat_function import FlatFunction


def seen_by(
    look: Callable[[FlatFunction, Sequence[tf.Tensor]], bool],
    f: FlatFunction,
    leaves: Sequence[tf.Tensor],
    most: int,
) -> bool:
    """What `look` says of a model and a batch of made-up numbers, outside of the graph.

    Args:
        look: at the model and up to `most` examples.
        f: the model.
        leaves: the batch, of which only shapes are known.
        most: how many examples are made up.

    Returns:
        `False` where the model itself has no numbers yet, or does not take these.
    """
    held = [*(outer for outer, _ in f.traced.captures), *f.traced.variables.values()]
    if any(map(tf.is_symbolic_tensor, held)) or any(None in leaf.shape[1:] for leaf in leaves):
        return False
    with tf.init_scope():
        if not tf.executing_eagerly():
            return False
        made_up = [_made_up(leaf, most) for leaf in leaves]
        if f.batch is not None:
            made_up[-1] = tf.range(made_up[0].shape[0]) % f.batch
        try:
            return look(f, made_up)
        except tf.errors.OpError:  # numbers that the model does not take
            return False


def _made_up(leaf: tf.Tensor, most: int) -> tf.Tensor:
    shape = [min(leaf.shape[0] or most, most), *leaf.shape[1:]]
    if not leaf.dtype.is_floating:
        return tf.zeros(shape, leaf.dtype)  # a token that every embedding has
    return tf.cast(tf.random.stateless_normal(shape, [0, 0]), leaf.dtype)
