"""Models that take so many examples at a time and no others, each in its own place.

A stateful recurrent layer has a state for each place in the batch, and a graph may hold the number
of examples as a constant. What repeats examples, as engines and differences do, hands over
with each row the place of its example, a number beside the other inputs: so the rows can be sorted
into batches of the right size, in which each is in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines.chunking import counted
from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.tensorflow.graph_ops import static_value
from keras_curvature.engines.tensorflow.private import inside_xla

Compute = Callable[[Sequence[tf.Tensor]], Sequence[tf.Tensor]]
"""From tensors of one batch to tensors of one batch."""


def rows(f: Any) -> int | None:
    """How many rows outputs have, where that does not depend on the number of examples."""
    return next((y.shape[0] for y in f.fetches if y.shape[0] is not None), None)


def size(inputs: Inputs, f: Any, *, coupled: bool) -> int | None:
    """How many examples a model takes at a time, or `None` for any number.

    Args:
        inputs: a batch.
        f: the traced model.
        coupled: whether examples have been seen to influence each other.

    Raises:
        ValueError: for outputs that have rows for anything else than the examples.
    """
    count, found = inputs.leaves[0].shape[0], rows(f)
    if found is None:  # What depends on the whole batch is a function of one example alone.
        return 1 if coupled and count == 1 else None
    wanted = f.traced.inputs[0].shape[0] or inputs.batch or count
    if found != wanted or any(y.shape[0] != wanted for y in f.fetches):
        raise ValueError(not_a_row_each(found, count))
    return found


def not_a_row_each(found: int, examples: int | None) -> str:
    """What to say of an output that has not a row for each example."""
    rows = f"{found} output row{'s' * (found != 1)}"
    given = "any number of examples" if examples is None else counted(examples)
    return (
        f"The first axis of the output must be that of the examples. Received: {rows} for {given}. "
        "Derivatives are taken for each example: leave their axis where it is, and reduce over the "
        "others only; a model with a stateful layer takes its own number of examples."
    )


def placed(inputs: Inputs, batch: int) -> Inputs:
    """The inputs with the place of each example behind them."""
    leaves = inputs.leaves
    if leaves[0].shape[0] is None:
        leaves = tuple(tf.ensure_shape(leaf, [batch, *leaf.shape[1:]]) for leaf in leaves)
    return replace(inputs, leaves=(*leaves, tf.range(leaves[0].shape[0]) % batch))


def by_batch(
    compute: Compute,
    tensors: Sequence[tf.Tensor],
    place: tf.Tensor,
    signature: Sequence[tf.TensorSpec],
) -> list[tf.Tensor]:
    """`compute` on any rows, one batch at a time.

    Args:
        compute: takes and gives one batch.
        tensors: `(rows, …)`.
        place: of each row in its batch, `(rows,)`.
        signature: of what `compute` gives, `(batch, …)`.
    """
    batch = int(signature[0].shape[0])
    known = static_value(place)
    if known is not None and np.array_equal(known, np.arange(batch)):
        return list(compute(tensors))
    hits = tf.cast(place[:, None] == tf.range(batch), tf.int32)
    # The row is that many batches from the beginning: as often has its place been taken before.
    turn = tf.reduce_sum((tf.cumsum(hits, axis=0) - 1) * hits, axis=1)
    where = turn * batch + place
    turns = 1 + tf.reduce_max(turn)
    known = static_value(turns)
    turns = turns if known is None else int(known)
    # Places without a row are given the first one, and not zeros, where a derivative may be NaN.
    source = tf.tensor_scatter_nd_update(
        tf.zeros([turns * batch], tf.int32), where[:, None], tf.range(tf.size(place))
    )

    def sorted_in(tensor: tf.Tensor) -> tf.Tensor:
        # Not gathered straight away: the gradient of that is `IndexedSlices`.
        rows = tf.gather(tf.reshape(tensor, tf.shape(tensor)), source)
        return tf.reshape(rows, [turns, batch, *tensor.shape[1:]])

    given = [sorted_in(tensor) for tensor in tensors]
    if known is not None and (turns == 1 or inside_xla()):  # XLA differentiates no loop in a loop
        parts = [compute([tensor[i] for tensor in given]) for i in range(turns)]
        found = [tf.stack(same) for same in zip(*parts, strict=True)]
    else:
        found = tf.map_fn(lambda rows: list(compute(rows)), given, fn_output_signature=signature)
    flat = [tf.reshape(y, [-1, *y.shape[2:]]) for y in found]
    return [tf.gather(tf.reshape(y, tf.shape(y)), where) for y in flat]
