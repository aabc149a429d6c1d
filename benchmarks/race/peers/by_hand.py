"""The Laplacian of a tanh network written out by hand: what an engine could be at best.

One product for each layer carries value, tangents and second order together (Li et al., 2024, the
forward Laplacian). No graph is traced and no rule looked up; every other network needs other code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from benchmarks.race import work as works
from benchmarks.race.contenders import XLA
from benchmarks.race.networks import Mlp, pairs
from benchmarks.race.work import Work

Layer = tuple[tf.Tensor, tf.Tensor]


def prepare(work: Work, recipe: str, mode: str) -> Callable[[], object]:
    """See `benchmarks.race.peers`."""
    assert isinstance(work.network, Mlp)
    assert work.quantity == works.LAPLACIAN
    layers = [(tf.constant(k), tf.constant(b)) for k, b in pairs(work.network.weights())]
    x = tf.constant(work.x())
    # The weights as arguments: XLA would multiply constants while it compiles.
    function = tf.function(laplacian, jit_compile=mode == XLA, autograph=False)
    return lambda: function(x, layers)


def laplacian(x: tf.Tensor, layers: Sequence[Layer]) -> tf.Tensor:
    """`(n,)`; see `benchmarks.race.truth` for the recursion."""
    (first, shift), *hidden, (last, _) = layers
    n, d = x.shape
    z, tangents, second = x @ first + shift, first[:, None], tf.zeros([])
    for kernel, bias in hidden:
        t, tangents, second = _tanh(z, tangents, second)
        rows = tf.concat([t, tf.reshape(tangents, [d * n, -1]), second], axis=0) @ kernel
        z, tangents, second = tf.split(rows, [n, d * n, n])
        z, tangents = z + bias, tf.reshape(tangents, [d, n, -1])
    return (_tanh(z, tangents, second)[2] @ last)[:, 0]


def _tanh(
    z: tf.Tensor, tangents: tf.Tensor, second: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    t = tf.tanh(z)
    slope = 1 - t * t
    bend = -2 * t * slope * tf.reduce_sum(tangents * tangents, axis=0)
    return t, slope * tangents, slope * second + bend
