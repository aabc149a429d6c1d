"""How many numbers a traced graph needs per example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.graph_ops import CALLS, LOOPS, needed, static_value


def numbers_per_example(results: Sequence[tf.Tensor], times: int = 1) -> int:
    """How many numbers the ops of a graph give per example, loops turned out."""
    total = 0
    for op in needed(results):
        if op.type in LOOPS:
            bound = static_value(op.inputs[1])
            turns = int(bound) if bound is not None and bound > 0 else 1
            body = private.function_graph(op, "body")
            total += numbers_per_example(body.outputs, turns)
        elif op.type in CALLS:
            function = private.function_graph(op, "f")
            total += numbers_per_example(function.outputs)
        total += sum(_elements(output) for output in op.outputs)
    return total * times


def widest_result(results: Sequence[tf.Tensor]) -> int:
    """How many numbers the largest result of an op has per example."""
    ops = needed(results)
    inside = [
        private.function_graph(op, "body" if op.type in LOOPS else "f")
        for op in ops
        if op.type in LOOPS or op.type in CALLS
    ]
    widths = [_elements(y) for op in ops for y in op.outputs]
    return max([*widths, *(widest_result(graph.outputs) for graph in inside)], default=0)


def _elements(tensor: tf.Tensor) -> int:
    """Numbers per example; what has no batch axis costs nothing per example."""
    shape = tensor.shape
    if not tensor.dtype.is_floating or not shape.rank or shape[0] is not None:
        return 0
    count = 1
    for size in _known(shape[1:]):
        count *= size
    return count


def _known(sizes: Sequence[int | None]) -> Iterator[int]:
    return (size for size in sizes if size is not None)
