"""An array in a graph, put together of the columns to differentiate by and of those held."""

from __future__ import annotations

import itertools

import tensorflow as tf

from keras_curvature.engines.columns import Subset

MOST_STACKED = 256
"""Columns up to which each is a tensor. Of thousands the graph takes minutes to trace."""


def parted(x: tf.Tensor, subset: Subset) -> tuple[tf.Tensor, tf.Tensor]:
    """The columns of `x` `(batch, count)` in a subset, and `x` put together again.

    What comes behind sees `x`, and depends on its columns by the first result alone. That holds for
    every engine, which finds linear ops: so many directions as there are columns, alike for all
    examples.

    Of stacks and unstacks each is the derivative of the other. Of slices XLA has none that could be
    trained through twice, and it is slow to scatter.
    """
    if subset.count > MOST_STACKED:
        return _of_runs(x, subset)
    columns = tf.unstack(x, axis=1)
    chosen = tf.stack([columns[i] for i in subset.indexes], axis=1)
    for i, column in zip(subset.indexes, tf.unstack(chosen, axis=1), strict=True):
        columns[i] = column
    return chosen, tf.stack(columns, axis=1)


def _of_runs(x: tf.Tensor, subset: Subset) -> tuple[tf.Tensor, tf.Tensor]:
    """The same with one tensor for all columns between two that are chosen."""
    ends = sorted({0, subset.count, *subset.indexes, *(i + 1 for i in subset.indexes)})
    lengths = [stop - start for start, stop in itertools.pairwise(ends)]
    runs = tf.split(x, lengths, axis=1)
    places = [ends.index(i) for i in subset.indexes]
    chosen = tf.concat([runs[place] for place in places], axis=1)
    for place, column in zip(places, tf.split(chosen, len(places), axis=1), strict=True):
        runs[place] = column
    return chosen, tf.concat(runs, axis=1)
