"""The matrix products and convolutions that second-order propagation cannot do without, alone.

No activation, no derivative: what is left is how fast TensorFlow and this machine multiply in
these shapes, and so a bound for every engine that does the same multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from benchmarks.race import work as works
from benchmarks.race.networks import ConvNet, Mlp, pairs
from benchmarks.race.work import Work

Kernels = list[tf.Tensor]
Result = list[tf.Tensor]


def prepare(work: Work, recipe: str, mode: str) -> Callable[[], object]:
    """See `benchmarks.race.peers`."""
    network = work.network
    assert isinstance(network, Mlp | ConvNet)
    kernels = [tf.constant(kernel) for kernel, _ in pairs(network.weights())]
    passes = works.DIRECTIONS if isinstance(network, ConvNet) else independent(network)
    shape = (work.points * passes, *first_shape(network))
    tangents = tf.random.stateless_normal(shape, seed=[0, 0])
    compute = _convolutions if isinstance(network, ConvNet) else _dense
    # All as arguments: XLA would multiply constants while it compiles.
    function = tf.function(
        lambda *given: compute(work.quantity, *given), jit_compile=mode == "XLA", autograph=False
    )
    x = tf.constant(work.x())
    return lambda: function(x, tangents, kernels)


def independent(network: Mlp) -> int:
    """Directions that must be carried: no more than the first layer has units."""
    return min(network.inputs, network.width)


def first_shape(network: Mlp | ConvNet) -> tuple[int, ...]:
    """Of one tangent where it first depends on the point: behind a first dense layer."""
    return (network.width,) if isinstance(network, Mlp) else network.input_shape


def _dense(quantity: str, x: tf.Tensor, tangents: tf.Tensor, kernels: Kernels) -> Result:
    """Value, tangents and second order: d + 2 rows a point, in one product for each layer.

    By tangents and an adjoint pass, as for the diagonal and the Hessian, there are as many. A
    layer before the first activation has one row a point, the last one two.
    """
    first, *hidden, last = kernels
    n, value = x.shape[0], x @ first
    passing = tf.concat([value, tangents, value], axis=0)
    found = []
    for kernel in hidden:
        if quantity == works.HESSIAN:
            found.append(_grams(passing[n:-n], n))
        before, passing = passing, passing @ kernel
        if quantity == works.STEP:  # back by the rows and by the weights
            found.append(tf.matmul(passing, kernel, transpose_b=True))
            found.append(tf.matmul(before, passing, transpose_a=True))
    if quantity == works.STEP:
        found.append(tf.matmul(x, value, transpose_a=True))
    return [*found, passing, passing[: 2 * n] @ last]


def _grams(tangents: tf.Tensor, n: int) -> tf.Tensor:
    """What one layer adds to the Hessians: `T diag(s) T'` of each point."""
    each = tf.reshape(tangents, [n, -1, tangents.shape[1]])
    return tf.matmul(each, each, transpose_b=True)


def _convolutions(quantity: str, x: tf.Tensor, tangents: tf.Tensor, kernels: Kernels) -> Result:
    """Value, tangents and second order, with the poolings; before the first tanh no second."""
    *convolutions, last = kernels
    passing = tf.concat([x, tangents], axis=0)
    for i, kernel in enumerate(convolutions):
        passing = tf.nn.conv2d(passing, kernel, 1, "SAME")
        if i == 0:
            passing = tf.concat([passing, passing[: x.shape[0]]], axis=0)
        if i % 2:
            passing = tf.nn.avg_pool2d(passing, 2, 2, "SAME")
    return [tf.reshape(passing, [-1, math.prod(passing.shape[1:])]) @ last]
