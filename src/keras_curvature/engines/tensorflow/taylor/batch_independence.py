"""Whether the examples of a batch stay apart, values and all, as far as a traced graph tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.tensorflow.graph_ops import needed
from keras_curvature.engines.tensorflow.op_patterns import kind
from keras_curvature.engines.tensorflow.taylor.active_path import Passage, ends_derivatives
from keras_curvature.engines.tensorflow.taylor.structure import keeps_batch
from keras_curvature.engines.tensorflow.tracing import Trace


def examples_apart(traced: Trace) -> bool:
    """Whether no value depends on several examples.

    Also where no derivative passes, as behind a stopped gradient. `False` where an op does not
    tell: a graph that mixes examples is never taken for one that does not.
    """
    numbers = {tensor.ref(): _numbers(tensor) for tensor in traced.inputs}
    if None in numbers.values():
        return False
    for op in needed(keras.tree.flatten(traced.outputs)):
        reads = not traits_of(op.type).shapes_only
        if not reads or not any(tensor.ref() in numbers for tensor in op.inputs):
            continue
        found = _of_results(op, numbers)
        if found is None:
            return False
        numbers |= found
    return True


def _of_results(op: tf.Operation, numbers: Mapping[Any, Any]) -> dict[Any, int] | None:
    """How many numbers of each example are in each result, if they are in one piece, in order."""
    if kind(op) == "Swish":  # each of its outputs is one input, the steepness among them
        pairs = zip(op.inputs, op.outputs, strict=True)
        return {y.ref(): numbers[x.ref()] for x, y in pairs if x.ref() in numbers}
    given = numbers.get(op.inputs[0].ref())
    others = [tensor for tensor in op.inputs[1:] if tensor.ref() in numbers]
    if given is not None and not others:
        if op.type == "Reshape":
            return {op.outputs[0].ref(): given}
        if op.type == "MatMul" and not _leads(op.inputs[0], given):
            return _of_product(op, given)
    if not all(
        _leads(tensor, numbers[tensor.ref()]) for tensor in op.inputs if tensor.ref() in numbers
    ):
        return None
    passes = op.type == "StopGradient" or not ends_derivatives(op)
    if not passes or not keeps_batch(Passage(op, tuple(op.outputs))):
        return None
    return {tensor.ref(): math.prod(tensor.shape[1:]) for tensor in op.outputs}


def _of_product(op: tf.Operation, given: int) -> dict[Any, int] | None:
    """Of a matrix whose rows are parts of examples, with a constant one."""
    rows, columns = op.inputs[1].shape.as_list()
    plain = not op.get_attr("transpose_a") and not op.get_attr("transpose_b")
    if not plain or rows is None or columns is None or given % rows:
        return None
    return {op.outputs[0].ref(): given // rows * columns}


def _numbers(tensor: tf.Tensor) -> int | None:
    """Of an example, in a tensor that has the examples along its first axis."""
    shape = tensor.shape
    if not shape.rank or shape[0] is not None or None in shape[1:].as_list():
        return None
    return math.prod(shape[1:])


def _leads(tensor: tf.Tensor, numbers: int) -> bool:
    """Whether a tensor with so many numbers of each example has these along its first axis."""
    return _numbers(tensor) == numbers
