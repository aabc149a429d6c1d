"""An array in a graph, put together of the columns to differentiate by and of those held."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from keras_curvature.engines.columns import Subset


def parted(x: tf.Tensor, subset: Subset) -> tuple[tf.Tensor, tf.Tensor]:
    """The columns of `x` `(batch, count)` in a subset, and `x` put together again.

    What comes behind sees `x`, and depends on its columns by the first result alone. That holds for
    every engine, which finds linear ops: so many directions as there are columns, alike for all
    examples.
    """
    others = [i for i in range(subset.count) if i not in subset.indexes]
    chosen = tf.gather(x, list(subset.indexes), axis=1)
    whole = _in_place(chosen, subset.indexes, subset.count)
    if others:
        whole += _in_place(tf.gather(x, others, axis=1), others, subset.count)
    return chosen, whole


def _in_place(x: tf.Tensor, places: Sequence[int], count: int) -> tf.Tensor:
    """The columns of `x` in their places, and 0 in all others."""
    of_column = {place: i for i, place in enumerate(places)}
    order = [of_column.get(place, len(places)) for place in range(count)]
    return tf.gather(tf.pad(x, [[0, 0], [0, 1]]), order, axis=1)
