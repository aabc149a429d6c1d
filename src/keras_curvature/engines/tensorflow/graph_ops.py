"""What a traced graph says of an op: its kind, what is known of it, the gradient it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.op_emission import NARROWEST, call

CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
LOOPS = {"While", "StatelessWhile"}
BRANCHES = {"Case", "If", "StatelessCase", "StatelessIf"}


def needed(fetches: Sequence[tf.Tensor], known: Collection[Any] = ()) -> list[tf.Operation]:
    """The ops that `fetches` are computed from, in an order in which they can run.

    Not those that only have to run before them, as assignments and prints do.

    Args:
        fetches: tensors of a traced graph.
        known: references of tensors that nothing is needed for.
    """
    wanted: list[tf.Operation] = []
    seen: set[tf.Operation] = set()
    stack = [(tensor, False) for tensor in reversed(fetches)]
    while stack:
        tensor, inputs_done = stack.pop()
        op = tensor.op
        if inputs_done:
            wanted.append(op)
            continue
        if tensor.ref() in known or op in seen:
            continue
        seen.add(op)
        stack.append((tensor, True))
        stack.extend((source, False) for source in reversed(op.inputs))
    return wanted


@dataclass(frozen=True, eq=False)
class Body:
    """What a call, a loop or a branch may run.

    Attributes:
        graph: of the function.
        inputs: its placeholders.
        outputs: its results, one for each of the op's. Whoever differentiates a function gives its
            graph more, for the way back, also of calls that were there before.
    """

    graph: tf.Graph
    inputs: Sequence[tf.Tensor]
    outputs: Sequence[tf.Tensor]


def functions_of(op: tf.Operation) -> list[Body]:
    """What a call, a loop (its condition, its body) or a branch may run."""
    names: tuple[str, ...] = ()
    if op.type in CALLS:
        names = ("f",)
    elif op.type in LOOPS:
        names = ("cond", "body")
    elif op.type in BRANCHES and not op.type.endswith("Case"):
        names = ("else_branch", "then_branch")
    graphs = [private.function_graph(op, name) for name in names]
    if op.type.endswith("Case"):
        graphs = private.branch_graphs(op, "branches")
    count = len(op.outputs)
    return [Body(graph, graph.inputs, graph.outputs[:count]) for graph in graphs]


def taken(op: tf.Operation, known: np.ndarray, count: int) -> int:
    """Which branch TensorFlow takes; the last one for an index of a `Case` out of range."""
    if op.type.endswith("If"):
        return int(bool(known))
    return int(known) if 0 <= known < count else count - 1


def has_custom_gradient(op: tf.Operation) -> bool:
    """Whether `op` is where a `tf.custom_gradient` function ends."""
    return op.type == "IdentityN" and "_gradient_op_type" in op.node_def.attr


def gradient_formula(op: tf.Operation) -> tuple[list[Any], list[Any]] | None:
    """The gradient of a `tf.custom_gradient` function, written into the op's own graph.

    Returns:
        Placeholders for the upstream gradients and the gradients of the op's inputs, or
        `None` where the Python function is gone (a graph read from a file) or refuses
        (`tf.recompute_grad` its second derivative).
    """
    known = getattr(op, "_curvature_gradient_formula", None)
    if known is not None:
        return known
    try:
        function = private.registered_gradient(op.get_attr("_gradient_op_type").decode())
    except LookupError:
        function = None
    if function is None:
        return None
    # Its formula may open tapes, also where a layer is looked at inside `tf.init_scope()`.
    with op.graph.as_default(), private.recorded(), contextlib.suppress(NotImplementedError):
        upstream = [
            tf.raw_ops.Placeholder(dtype=output.dtype, shape=output.shape)
            if is_inexact(output)
            else None
            for output in op.outputs
        ]
        op._curvature_gradient_formula = (upstream, list(function(op, *upstream)))
    return getattr(op, "_curvature_gradient_formula", None)


def known_bound(maximum_iterations: tf.Tensor) -> int | None:
    """How often a loop turns at most, where that is known before it runs."""
    bound = static_value(maximum_iterations)
    return None if bound is None or bound < 0 else int(bound)


def static_value(tensor: tf.Tensor) -> np.ndarray | None:
    """The value of a tensor of a graph that depends on constants only, if it does."""
    value = tf.get_static_value(tensor)
    if (
        value is not None
        or tf.executing_eagerly()
        or not tensor.op.inputs
        or tensor.op.op_def.is_stateful
    ):
        return value
    inputs = [static_value(source) for source in tensor.op.inputs]
    if any(value is None for value in inputs) or tensor.op.type in CALLS | LOOPS | BRANCHES:
        return None
    with tf.init_scope():
        outputs = call(tensor.op, [tf.constant(v) for v in inputs], NARROWEST)
    return outputs[tensor.value_index].numpy()


def is_inexact(tensor: tf.Tensor) -> bool:
    """Whether a tensor holds numbers that can have a derivative."""
    return tensor.dtype.is_floating or tensor.dtype.is_complex
