"""What a traced graph computes, whatever the numbers in its variables are.

Two models of one architecture have graphs that differ in names only. What is compiled for one then
serves the other, with the other's variables. That must never be said of two graphs of which one
computes anything else: what cannot be told to be the same here is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_curvature.engines.tensorflow import arrays, private
from keras_curvature.engines.tensorflow.graph_ops import (
    BRANCHES,
    CALLS,
    LOOPS,
    functions_of,
    has_custom_gradient,
)
from keras_curvature.engines.tensorflow.op_patterns import is_of_a_derivative, kind

NAMES = {"_gradient_op_type", "_user_specified_name"}
"""Attributes that hold a name and nothing else."""

READING = {"ReadVariableOp", "ResourceGather", "ResourceGatherNd"}
"""Ops that depend on more than their inputs' values and attributes, and only on variables."""

LARGEST_CONSTANT = 2**16
"""Bytes of a tensor that a graph holds up to which it is compared by value."""

ENTERED = CALLS | LOOPS | BRANCHES

Write = Callable[[object], None]


class _OneOfItsKindError(Exception):
    """The graph holds what could be another thing in a graph that looks the same."""


def identity_of(
    graph: tf.Graph, ends: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
) -> str | None:
    """Equal for two graphs that compute the same from the same inputs and variables.

    Args:
        graph: of a function; its inputs count in their order.
        ends: what is computed.
        variables: all that the graph captures, in the order in which it does.

    Returns:
        A digest, or `None` for a graph that may depend on anything else: on a large tensor or a
        table outside of it, on random numbers, on a gradient that was written by hand.
    """
    found = hashlib.sha256()

    def write(part: object) -> None:
        found.update(f"{part!r};".encode())

    by_handle = {id(variable.handle): variable for variable in variables}
    for outer, _ in graph.captures:
        variable = by_handle.get(id(outer))
        if variable is None:  # what a `Normalization` has learned, say
            if not arrays.has_numbers(outer) or _bytes(outer) > LARGEST_CONSTANT:
                return None
            write((outer.dtype.name, outer.shape.as_list(), outer.numpy().tobytes()))
        elif not private.is_plain(variable):
            return None
        else:
            kept = (variable.shape.as_list(), variable.dtype.name, variable.trainable)
            write((*kept, variable.device))
    try:
        _describe(graph, ends, write)
    except _OneOfItsKindError:
        return None
    return found.hexdigest()


def _bytes(tensor: tf.Tensor) -> int:
    return int(np.prod(tensor.shape)) * arrays.itemsize(tensor.dtype)


def _describe(graph: tf.Graph, ends: Sequence[tf.Tensor], write: Write) -> None:
    """Writes down the ops of a graph in their order, everything but the names."""
    ops = graph.get_operations()
    place = {op: i for i, op in enumerate(ops)}

    def places(tensors: Sequence[tf.Tensor]) -> list[tuple[int, int]]:
        return [(place[tensor.op], tensor.value_index) for tensor in tensors]

    write((len(ops), places(graph.inputs), places(ends)))
    for op in ops:
        _require_known(op)
        write((op.type, kind(op), op.device, is_of_a_derivative(op), places(op.inputs)))
        write(sorted(place[other] for other in op.control_inputs))
        write(
            [
                (y.dtype.name, None if y.shape.rank is None else y.shape.as_list())
                for y in op.outputs
            ]
        )
        _describe_attributes(op, write)
        if op.type in ENTERED:
            write(op.type in CALLS and private.must_be_compiled(op))
            for inner in functions_of(op):
                _describe(inner.graph, inner.outputs, write)


def _require_known(op: tf.Operation) -> None:
    if has_custom_gradient(op) and kind(op) == op.type:
        raise _OneOfItsKindError
    if op.op_def.is_stateful and op.type not in ENTERED | READING:
        raise _OneOfItsKindError


def _describe_attributes(op: tf.Operation, write: Write) -> None:
    attributes = op.node_def.attr
    for name in sorted(attributes):
        value = attributes[name]
        if value.WhichOneof("value") == "func" or value.list.func:
            if op.type not in ENTERED:
                raise _OneOfItsKindError
        elif name not in NAMES:
            write((name, value.SerializeToString(deterministic=True)))
