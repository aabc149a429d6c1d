"""Reverse over reverse: TensorFlow's own tapes, twice, on the walked model.

The reference engine. Whatever TensorFlow can differentiate twice, this differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow.function import FlatFunction

ZERO = tf.UnconnectedGradients.ZERO

VECTORISED = frozenset(
    """
    Abs Add AddN AddV2 AvgPool BatchMatMulV2 BatchMatMulV3 BiasAdd BroadcastTo Cast ConcatV2
    Conv2D Cos DepthwiseConv2dNative Einsum Elu Erf Exp ExpandDims Expm1 GatherV2 Identity
    IdentityN LeakyRelu Log Log1p LogSoftmax MatMul Max MaxPool Maximum Mean Minimum Mul Neg Pack
    Pad PadV2 Pow RealDiv Reciprocal Relu Relu6 Reshape Rsqrt SelectV2 Selu Sigmoid Sin Slice
    Softmax Softplus Softsign Split SplitV Sqrt Square SquaredDifference Squeeze StopGradient
    StridedSlice Sub Sum Tanh Tile Transpose Unpack
    """.split()  # noqa: SIM905, a list of strings would take sixty lines
)
"""Op types of which `tf.vectorized_map` gives the right second derivative.

It is silently wrong for `Roll` with a negative axis and for `SoftmaxCrossEntropyWithLogits`, and
fails for many, so only what is tested here is trusted to it.
"""


def value_and_jacobian(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Value `(n, m)` and Jacobian `(n, m, d)`."""
    m = f.outputs.width
    rows, others, seeds = per_output(f, z, rest)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rows)
        # Selected, not multiplied: an infinite output must leave the values of others alone.
        y = tf.reduce_sum(tf.where(seeds > 0, f(rows, others), tf.zeros_like(seeds)), axis=1)
    gradient = tape.gradient(y, rows, unconnected_gradients=ZERO)
    return tf.reshape(y, [-1, m]), tf.reshape(gradient, [-1, m, f.inputs.width])


def hessian_rows(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], directions: tf.Tensor
) -> tf.Tensor:
    """Products of each Hessian with `directions` `(k, n, d)`, shape `(n, m, k, d)`."""
    m, d = f.outputs.width, f.inputs.width
    rows, others, seeds = per_output(f, z, rest)
    found = row_products(f, rows, others, seeds, tf.repeat(directions, m, axis=1))
    return tf.transpose(tf.reshape(found, [-1, tf.shape(z)[0], m, d]), [1, 2, 0, 3])


def row_products(
    f: FlatFunction,
    rows: tf.Tensor,
    others: Sequence[tf.Tensor],
    seeds: tf.Tensor,
    directions: tf.Tensor,
) -> tf.Tensor:
    """Products of the Hessian of `seed . f` at each of `rows` `(r, d)` with `(k, r, d)`, likewise.

    Where each output has directions of its own; `per_output` makes the rows.
    """
    alone = directions.shape[0] == 1 or not _survives_vectorising(f)
    products = _repeated if alone else _vectorised
    return products(f, rows, others, seeds, directions)


def _survives_vectorising(f: FlatFunction) -> bool:
    """Repeating the examples is right for every op, at the price of a forward pass each."""
    types = {place.op_type for place in f.activity.active}
    return types <= VECTORISED and not f.activity.resists_vectorising and f.batch is None


def per_output(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
    """Repeats every example once per output, each with the one-hot seed of that output.

    One scalar per row is all that reverse mode needs to know of several outputs.
    """
    m = f.outputs.width
    seeds = tf.tile(tf.eye(m, dtype=z.dtype), [tf.shape(z)[0], 1])
    if m == 1:
        return tf.identity(z), list(rest), seeds
    return tf.repeat(z, m, axis=0), [tf.repeat(r, m, axis=0) for r in rest], seeds


def _vectorised(
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    seeds: tf.Tensor,
    directions: tf.Tensor,
) -> tf.Tensor:
    """Hessian-vector products `(k, n, d)` from one forward and one backward pass."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer:
        outer.watch(z)
        gradient = row_gradients(f, z, rest, seeds)
    return tf.vectorized_map(
        lambda v: outer.gradient(gradient, z, output_gradients=v, unconnected_gradients=ZERO),
        directions,
    )


def _repeated(
    f: FlatFunction,
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    seeds: tf.Tensor,
    directions: tf.Tensor,
) -> tf.Tensor:
    """Hessian-vector products `(k, n, d)` of examples repeated once per direction."""
    k = tf.shape(directions)[0]
    rows = _tiled(z, k)
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(rows)
        gradient = row_gradients(f, rows, [_tiled(r, k) for r in rest], _tiled(seeds, k))
    found = outer.gradient(
        gradient,
        rows,
        output_gradients=tf.reshape(directions, tf.shape(rows)),
        unconnected_gradients=ZERO,
    )
    return tf.reshape(found, tf.shape(directions))


def row_gradients(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], seeds: tf.Tensor
) -> tf.Tensor:
    """The gradient of `seed . f` at each row, in the shape of `z`."""
    with tf.GradientTape(watch_accessed_variables=False) as inner:
        inner.watch(z)
        y = tf.reduce_sum(f(z, rest) * seeds)
    return inner.gradient(y, z, unconnected_gradients=ZERO)


def _tiled(tensor: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
    """The whole batch, `times` times over."""
    return tf.tile(tensor, [times, *[1] * (tensor.shape.rank - 1)])
