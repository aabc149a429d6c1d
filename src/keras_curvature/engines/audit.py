"""Looks at a traced graph before anything is differentiated: what carries a derivative?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import tensorflow as tf

from keras_curvature.engines import tensorflow_private as private
from keras_curvature.engines.mending import SUPPLIED, is_stopped_mean_of_moments
from keras_curvature.engines.side_effects import acts, all_needed
from keras_curvature.engines.traced_ops import (
    BRANCHES,
    CALLS,
    LOOPS,
    SWITCHES,
    needed,
    static_value,
)
from keras_curvature.engines.tracing import Trace


class Dependence(IntEnum):
    """How a tensor depends on the input that is differentiated."""

    NONE = 0
    CUT = 1
    """It depends on it, but no derivative passes."""
    LIVE = 2


SHAPES_ONLY = {"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "BroadcastGradientArgs"}
"""Ops that look at the shape of their input and not at its values."""

PIECEWISE_CONSTANT = {"Floor", "Ceil", "Round", "Rint", "Sign"}
"""Ops to which TensorFlow gives the derivative 0."""


@dataclass(frozen=True)
class Place:
    """An op, and the Keras layer that it came from."""

    op_type: str
    op_name: str
    layer: str

    def __str__(self) -> str:
        """As it stands in messages."""
        where = f"layer {self.layer!r}" if self.layer else f"the op {self.op_name!r}"
        return f"{self.op_type} in {where}"


@dataclass(frozen=True)
class Audit:
    """What is known about a model before it is differentiated.

    Attributes:
        dependence: of each output on the input.
        live: ops through which a derivative passes, in order.
        cuts: ops at which the derivative ends, though the value goes on.
        acting: ops that cannot give what the outputs need without doing something else.
        unregistered: ops that TensorFlow cannot differentiate even once.
        mended: ops whose second derivative TensorFlow itself gets wrong or lacks.
        resists_vectorising: whether there are loops, branches or functions for XLA.
        activations: numbers that one example needs in all intermediate results together.
        widest: numbers that it needs in the largest of them.
    """

    dependence: tuple[Dependence, ...]
    live: tuple[Place, ...]
    cuts: tuple[Place, ...]
    acting: tuple[Place, ...]
    unregistered: tuple[Place, ...]
    mended: tuple[Place, ...]
    resists_vectorising: bool
    activations: int
    widest: int


def audit(trace: Trace, source: Sequence[tf.Tensor], layers: Collection[str]) -> Audit:
    """Follows the dependence on `source` through a traced model.

    Args:
        trace: the traced model.
        source: the tensors that are differentiated with respect to.
        layers: names of the model's layers, to say where an op came from.
    """
    flow = _Flow(layers, trace.scopes)
    states: dict[Any, Dependence] = {tensor.ref(): Dependence.LIVE for tensor in source}
    outputs = tf.nest.flatten(trace.outputs)
    flow.through(trace.graph, outputs, states)
    return Audit(
        dependence=tuple(states.get(output.ref(), Dependence.NONE) for output in outputs),
        live=tuple(flow.live),
        cuts=tuple(flow.cuts),
        acting=tuple(flow.place(op) for op in all_needed(outputs) if acts(op)),
        unregistered=tuple(flow.unregistered),
        mended=tuple(flow.mended),
        resists_vectorising=flow.resists_vectorising,
        activations=_activations(trace.graph),
        widest=_widest(trace.graph),
    )


class _Flow:
    """Carries the dependence forward through graphs, and notes what it meets.

    The lists are dicts without values: ordered, and each place once.
    """

    def __init__(self, layers: Collection[str], scopes: Mapping[str, str]) -> None:
        self._layers = frozenset(layers)
        self._scopes = scopes
        self.live: dict[Place, None] = {}
        self.cuts: dict[Place, None] = {}
        self.unregistered: dict[Place, None] = {}
        self.mended: dict[Place, None] = {}
        self.resists_vectorising = False

    def through(
        self, graph: tf.Graph, outputs: Sequence[tf.Tensor], states: dict[Any, Dependence]
    ) -> None:
        """Adds to `states` every tensor on the way to `outputs` that depends on those in it."""
        on_the_way = set(needed(outputs))
        for op in graph.get_operations():
            given = [states.get(tensor.ref(), Dependence.NONE) for tensor in op.inputs]
            if not any(given) or op not in on_the_way:
                continue
            for tensor, state in zip(op.outputs, self._outputs(op, given), strict=True):
                states.setdefault(tensor.ref(), state)

    def _outputs(self, op: tf.Operation, given: list[Dependence]) -> list[Dependence]:
        if op.type in CALLS:
            self.resists_vectorising |= private.must_be_compiled(op)
            return self._function(private.function_graph(op, "f"), given)
        if op.type in LOOPS:
            return self._loop(op, given)
        if op.type in BRANCHES | SWITCHES:
            return self._branches(op, given)
        return self._plain(op, max(given))

    def _function(self, graph: tf.Graph, given: Sequence[Dependence]) -> list[Dependence]:
        states = {tensor.ref(): s for tensor, s in zip(graph.inputs, given, strict=True) if s}
        self.through(graph, graph.outputs, states)
        return [states.get(tensor.ref(), Dependence.NONE) for tensor in graph.outputs]

    def _loop(self, op: tf.Operation, given: list[Dependence]) -> list[Dependence]:
        self.resists_vectorising = True
        body = private.function_graph(op, "body")
        while True:  # dependence only grows, so this ends
            after = self._function(body, given)
            grown = [max(pair) for pair in zip(given, after, strict=True)]
            if grown == given:
                return given
            given = grown

    def _branches(self, op: tf.Operation, given: list[Dependence]) -> list[Dependence]:
        self.resists_vectorising = True
        graphs = (
            private.branch_graphs(op, "branches")
            if op.type in SWITCHES
            else [private.function_graph(op, name) for name in ("then_branch", "else_branch")]
        )
        chosen = Dependence.CUT if given[0] else Dependence.NONE
        results = [self._function(graph, given[1:]) for graph in graphs]
        return [max(chosen, *states) for states in zip(*results, strict=True)]

    def _plain(self, op: tf.Operation, strongest: Dependence) -> list[Dependence]:
        if op.type in SHAPES_ONLY:
            return [Dependence.NONE for _ in op.outputs]
        if strongest is Dependence.LIVE:
            carries = self._carries(op)
            (self.live if carries else self.cuts)[self.place(op)] = None
            strongest = Dependence.LIVE if carries else Dependence.CUT
            if any(o.consumers() and not _may_carry(o.dtype) for o in op.outputs):
                self.cuts[self.place(op)] = None  # such as the indices that come with a sort
        return [strongest if _may_carry(output.dtype) else Dependence.CUT for output in op.outputs]

    def _carries(self, op: tf.Operation) -> bool:
        """Whether a derivative passes through `op`."""
        if op.type in SUPPLIED or is_stopped_mean_of_moments(op):
            self.mended[self.place(op)] = None
            return True
        if op.type == "StopGradient" or op.type in PIECEWISE_CONSTANT:
            return False
        if not any(_may_carry(output.dtype) for output in op.outputs):
            return False
        try:
            return private.registered_gradient(op.type) is not None
        except LookupError:
            self.unregistered[self.place(op)] = None
            return False

    def place(self, op: tf.Operation) -> Place:
        """The op, and the layer that it is in."""
        return Place(op.type, op.name, layer_of(op.name, self._layers, self._scopes))


def _may_carry(dtype: tf.DType) -> bool:
    return dtype.is_floating or dtype.is_complex or dtype == tf.variant


def layer_of(op_name: str, layers: Collection[str], scopes: Mapping[str, str]) -> str:
    """The innermost layer in an op's name scope, or `""`.

    Args:
        op_name: where to look.
        layers: names of the model's layers.
        scopes: as in `Trace`. Where none of them holds the op, in the body of a function, its
            name has to do.
    """
    parents = op_name.split("/")[:-1]
    for end in range(len(parents), 0, -1):
        scope = "/".join(parents[:end])
        if scope in scopes:
            return scopes[scope]
    for scope in reversed(op_name.split("/")):
        for name in (scope, re.sub(r"_\d+$", "", scope)):
            if name in layers:
                return name
    return ""


def _activations(graph: tf.Graph, times: int = 1) -> int:
    """How many numbers the ops of a graph give per example, loops turned out."""
    total = 0
    for op in graph.get_operations():
        if op.type in LOOPS:
            bound = static_value(op.inputs[1])
            turns = int(bound) if bound is not None and bound > 0 else 1
            total += _activations(private.function_graph(op, "body"), turns)
        elif op.type in CALLS:
            total += _activations(private.function_graph(op, "f"))
        total += sum(_elements(output) for output in op.outputs)
    return total * times


def _widest(graph: tf.Graph) -> int:
    """How many numbers the largest result of an op has per example."""
    inside = [
        private.function_graph(op, "body" if op.type in LOOPS else "f")
        for op in graph.get_operations()
        if op.type in LOOPS or op.type in CALLS
    ]
    outputs = [y for op in graph.get_operations() for y in op.outputs]
    return max([*map(_elements, outputs), *map(_widest, inside)], default=0)


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
