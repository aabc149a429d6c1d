"""Whether the examples of a batch influence each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow.fixed_batch import not_a_row_each
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.side_effects import DRAW, all_needed

EXAMPLES = 4
"""How many examples are tried together and one by one."""

TOLERANCE = 1e-3
"""Relative difference that rounding in another batch size does not explain, even in a deep
float32 network; coupled examples differ by far more."""

STEP = 0.1
"""How far from each example another one is put beside it, relative to its numbers."""


def warn_if_coupled(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> bool:
    """Whether `influence` is more than rounding, of which it warns.

    All derivatives here are per example: the gradient of a batch's sum is taken apart into
    its examples. Where one example's output depends on another's input (a statistic over the
    batch, say), that is not a derivative of anything.

    In a graph, where there are no numbers to look at, it looks at made-up ones.
    """
    if tf.executing_eagerly():
        return _warns(f, leaves)
    held = [*(outer for outer, _ in f.traced.captures), *f.traced.variables.values()]
    if any(map(tf.is_symbolic_tensor, held)) or any(None in leaf.shape[1:] for leaf in leaves):
        return False
    with tf.init_scope():
        if not tf.executing_eagerly():
            return False
        made_up = [_made_up(leaf) for leaf in leaves]
        if f.batch is not None:
            made_up[-1] = tf.range(made_up[0].shape[0]) % f.batch
        try:
            return _warns(f, made_up)
        except tf.errors.OpError:  # numbers that the model does not take
            return False


def _made_up(leaf: tf.Tensor) -> tf.Tensor:
    shape = [min(leaf.shape[0] or EXAMPLES, EXAMPLES), *leaf.shape[1:]]
    if not leaf.dtype.is_floating:
        return tf.zeros(shape, leaf.dtype)  # a token that every embedding has
    return tf.cast(tf.random.stateless_normal(shape, [0, 0]), leaf.dtype)


def _warns(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> bool:
    found = influence(f, leaves)
    coupled = found > TOLERANCE  # False for NaN: that is another problem
    if coupled:
        warnings.warn(
            "The model gives an example another output when other examples are in the batch "
            f"(up to {found:.1%} of the largest output here): its examples "
            "influence each other, or it is random. Derivatives per example are not defined "
            "for such a model, and what is computed is the derivative of the batch's sum.",
            stacklevel=2,
        )
    return coupled


def influence(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> float:
    """How much an output changes with the other examples, relative to the largest output.

    Compares the model on a few examples together, and on others close to them, with the model on
    each alone.

    Raises:
        ValueError: if the output has not a row for each example.
    """
    z, rest = f.point([leaf[:EXAMPLES] for leaf in leaves])
    count = int(z.shape[0])
    for y in f.apart(z, rest):
        if y.shape[0] != count:
            raise ValueError(not_a_row_each(int(y.shape[0]), count))
    # Beside copies of itself alone an example would not show what depends on a mean over all.
    moved = tf.where(z == 0, tf.cast(STEP, z.dtype), (1 - STEP) * z)
    # At least twice as many rows as below: what depends on their number shows too.
    times = 2 if count == 1 else 1
    rows = tf.tile(tf.concat([z, moved], axis=0), [times, 1])
    together = f(rows, [_tiled(r, 2 * times) for r in rest])
    # Twice the same example, for the models that fail on a batch of one.
    pairs = [[_tiled(t[i : i + 1], 2) for t in (z, *rest)] for i in range(count)]
    alone = tf.concat([f(pair[0], pair[1:])[:1] for pair in pairs], axis=0)
    return _relative(together[:count], alone)


def draws(f: FlatFunction) -> bool:
    """Whether an output needs random numbers."""
    return any("Random" in op.type or op.type == DRAW for op in all_needed(f.fetches))


def randomness(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> float:
    """How much an output changes from one call to the next, relative to the largest output."""
    if f.traced.identity is not None:  # computed from its inputs and its variables alone
        return 0.0
    few = [leaf[:EXAMPLES] for leaf in leaves]
    first, second = _value(f, few), _value(f, few)
    return _relative(first, second)


def _relative(a: tf.Tensor, b: tf.Tensor) -> float:
    """The largest difference, relative to the largest of all numbers."""
    size = float(tf.reduce_max(tf.abs(tf.stack([a, b]))))
    return float(tf.reduce_max(tf.abs(a - b))) / size if size else 0.0


def _value(f: FlatFunction, leaves: Sequence[tf.Tensor]) -> tf.Tensor:
    return f(*f.point(leaves))


def _tiled(tensor: tf.Tensor, times: int) -> tf.Tensor:
    return tf.tile(tensor, [times, *[1] * (tensor.shape.rank - 1)])
