"""How many numbers a traced graph needs per example."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow.graph_ops import LOOPS, functions_of, known_bound, needed


def numbers_per_example(results: Sequence[tf.Tensor]) -> int:
    """How many numbers the ops of a graph give per example, in all turns, in the larger branch."""
    total = 0
    for op in needed(results):
        turns = (known_bound(op.inputs[1]) if op.type in LOOPS else None) or 1
        inside = (numbers_per_example(body.outputs) for body in functions_of(op))
        total += turns * max(inside, default=0) + sum(map(_elements, op.outputs))
    return total


def widest_result(results: Sequence[tf.Tensor]) -> int:
    """How many numbers the largest result of an op has per example."""
    ops = needed(results)
    inside = [widest_result(body.outputs) for op in ops for body in functions_of(op)]
    return max([*inside, *(_elements(y) for op in ops for y in op.outputs)], default=0)


def _elements(tensor: tf.Tensor) -> int:
    """Numbers per example; what has no batch axis costs nothing per example."""
    shape = tensor.shape
    if not tensor.dtype.is_floating or not shape.rank or shape[0] is not None:
        return 0
    return math.prod(size for size in shape[1:] if size is not None)
