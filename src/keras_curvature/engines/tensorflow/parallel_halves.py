"""Two halves of a batch side by side: the cores have work while one waits for memory or a lock.

TensorFlow runs the ops of a graph in parallel that do not need each other, and a network in which
each op needs the one before it leaves it none. Several ops have a kernel for one core only. XLA
shares large ops out over the cores, and leaves small ones to one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.private import inside_xla
from keras_curvature.engines.tensorflow.taylor.active_path import active_path
from keras_curvature.engines.tensorflow.taylor.batch_independence import examples_apart
from keras_curvature.engines.tensorflow.taylor.structure import batch_leads

Compute = Callable[..., dict[str, tf.Tensor]]

MOST_OPS = 128
"""Live ops up to which a graph is taken for a chain; a ResNet has more, and no use for halves.

For this and the next two see `benchmarks/cost/parallel_halves.py`.
"""

LEAST_NUMBERS = 2**18
"""That an op works on, on average, from which it pays to halve them: 1 MiB in float32."""

LEAST_OPS = 64
"""Live ops from which XLA is faster in halves: it keeps one core busy with each that is small."""


def least_examples(f: FlatFunction, directions: int) -> float:
    """From how many examples on Taylor propagation is faster in halves; `inf` for never.

    Inside XLA another number than outside.

    Args:
        f: the model.
        directions: how many each example is propagated along.
    """
    if _has_gpu():
        return math.inf
    return _inside_xla(f) if inside_xla() else _outside_xla(f, directions)


def _inside_xla(f: FlatFunction) -> float:
    """There nobody can try whether the examples of a batch influence each other."""
    pays = len(f.activity.active) >= LEAST_OPS
    return 2 if pays and examples_apart(f.traced) else math.inf


def _outside_xla(f: FlatFunction, directions: int) -> float:
    ops = len(f.activity.active)
    if not 0 < ops <= MOST_OPS or not batch_leads(active_path(f)):
        return math.inf
    return max(2, LEAST_NUMBERS * ops / (directions * f.activity.activations))


def _has_gpu() -> bool:
    """A GPU runs one op after the other, and would rather have them large."""
    return bool(tf.config.list_logical_devices("GPU"))


def side_by_side(compute: Compute) -> Compute:
    """`compute` in a graph, from two halves of its tensors, which have at least two examples."""

    def halved(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tensors[0].shape[0]
        middle = (tf.shape(tensors[0])[0] if count is None else count) // 2
        one = compute(*(tensor[:middle] for tensor in tensors))
        other = compute(*(tensor[middle:] for tensor in tensors))
        return {name: tf.concat([one[name], other[name]], axis=0) for name in one}

    return halved
