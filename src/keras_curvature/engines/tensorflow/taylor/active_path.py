"""The ops of a traced graph through which derivatives pass, from its sources to its results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.graph_ops import CALLS, Body, functions_of, needed
from keras_curvature.engines.tensorflow.taylor.propagation import rule_for
from keras_curvature.engines.tensorflow.taylor.tape import may_carry


@dataclass(frozen=True, eq=False)
class Passage:
    """An op on the way.

    Attributes:
        op: in the traced graph, or in that of a function that it calls.
        outputs: those on the way; the op may have others.
    """

    op: tf.Operation
    outputs: tuple[tf.Tensor, ...]


def passages(
    graph: tf.Graph, sources: Iterable[tf.Tensor], results: Iterable[tf.Tensor]
) -> list[Passage]:
    """The ops from sources to results, in the order of the graph; functions are entered.

    What else depends on the sources is left out: a traced graph holds more than its results
    need, such as the formulas of custom gradients.
    """
    active, results = {tensor.ref() for tensor in sources}, list(results)
    ahead = _ahead(needed(results), active)
    return _back(ahead, active, {tensor.ref() for tensor in results})


def active_path(f: FlatFunction) -> list[Passage]:
    """The ops from a model's input to its output."""
    return passages(f.traced.graph, f.source, f.fetches)


@dataclass(frozen=True, eq=False)
class _Node:
    """An op that depends on the sources, and what it calls."""

    op: tf.Operation
    body: Body | None = None
    inside: Sequence[_Node] = ()
    active: Any = frozenset()


def _ahead(ops: Iterable[tf.Operation], active: set[Any]) -> list[_Node]:
    """Those of the ops that depend on what is in `active`; adds to it what they compute."""
    found = []
    for op in ops:
        given = [tensor.ref() in active for tensor in op.inputs]
        if not any(given) or ends_derivatives(op):
            continue
        if op.type in CALLS and not private.must_be_compiled(op):
            (inner,) = functions_of(op)
            within = {
                x.ref() for x, is_active in zip(inner.inputs, given, strict=True) if is_active
            }
            node = _Node(op, inner, _ahead(needed(inner.outputs), within), within)
            results = [y.ref() in within for y in inner.outputs]
        else:
            node = _Node(op)
            results = [may_carry(y) for y in op.outputs]
            if op.type == "IdentityN":  # each of its outputs is one input
                results = [a and b for a, b in zip(results, given, strict=True)]
        if any(results):
            found.append(node)
            active |= {y.ref() for y, carries in zip(op.outputs, results, strict=True) if carries}
    return found


def _back(nodes: Sequence[_Node], active: set[Any], wanted: set[Any]) -> list[Passage]:
    """Those of the nodes that lead to what is `wanted`; adds to it what they need."""
    found: list[Passage] = []
    for node in reversed(nodes):
        outputs = tuple(y for y in node.op.outputs if y.ref() in active and y.ref() in wanted)
        if not outputs:
            continue
        if node.body is None:
            wanted |= {x.ref() for x in node.op.inputs}
            found.append(Passage(node.op, outputs))
            continue
        results = zip(node.op.outputs, node.body.outputs, strict=True)
        within = {inner.ref() for outer, inner in results if outer.ref() in wanted}
        found += reversed(_back(node.inside, set(node.active), within))
        arguments = zip(node.op.inputs, node.body.inputs, strict=True)
        wanted |= {outer.ref() for outer, inner in arguments if inner.ref() in within}
    return found[::-1]


def ends_derivatives(op: tf.Operation) -> bool:
    """Whether an op has no derivative by anything."""
    rule = rule_for(op)
    return rule is not None and rule.traits.ends
