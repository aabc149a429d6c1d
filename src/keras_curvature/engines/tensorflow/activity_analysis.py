"""Looks at a traced graph before anything is differentiated: what carries a derivative?"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from keras_curvature.engines.activity import Activity, Dependence, Place
from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.tensorflow import missing_gradients, private
from keras_curvature.engines.tensorflow.gradient_overrides import (
    OVERRIDES,
)
from keras_curvature.engines.tensorflow.graph_ops import (
    BRANCHES,
    CALLS,
    LOOPS,
    Body,
    functions_of,
    gradient_formula,
    has_custom_gradient,
    is_inexact,
    needed,
)
from keras_curvature.engines.tensorflow.memory_per_example import numbers_per_example, widest_result
from keras_curvature.engines.tensorflow.op_patterns import is_stopped_mean_of_moments
from keras_curvature.engines.tensorflow.side_effects import acts, all_needed
from keras_curvature.engines.tensorflow.tracing import Trace


def activity_of(trace: Trace, source: Sequence[tf.Tensor], layers: Collection[str]) -> Activity:
    """Follows the dependence on `source` through a traced model.

    Args:
        trace: the traced model.
        source: the tensors that are differentiated with respect to.
        layers: names of the model's layers, to say where an op came from.
    """
    flow = _Flow(layers, trace.scopes)
    states: dict[Any, Dependence] = {tensor.ref(): Dependence.ACTIVE for tensor in source}
    outputs = tf.nest.flatten(trace.outputs)
    flow.through(states, outputs)
    return Activity(
        dependence=tuple(states.get(output.ref(), Dependence.NONE) for output in outputs),
        active=tuple(flow.active),
        cuts=tuple(flow.cuts),
        by_hand=tuple(p for p in flow.active if p.op_type == "IdentityN" and not _of_silu(flow, p)),
        acting=tuple(flow.place(op) for op in all_needed(outputs) if acts(op)),
        unknown=tuple(flow.unknown),
        mended=tuple(flow.mended),
        rankless=tuple(flow.rankless),
        resists_vectorising=flow.resists_vectorising,
        activations=numbers_per_example(outputs),
        widest=widest_result(outputs),
    )


def _of_silu(flow: _Flow, place: Place) -> bool:
    """Whether a hand-written gradient is that of `tf.nn.silu`, which is right."""
    inner = place.op_name.rpartition("/")[0]
    return any(p.op_type == "Sigmoid" and p.op_name.startswith(inner) for p in flow.active)


class _Flow:
    """Carries the dependence forward through graphs, and notes what it meets.

    The lists are dicts without values: ordered, and each place once.
    """

    def __init__(self, layers: Collection[str], scopes: Mapping[str, str], order: int = 0) -> None:
        self._layers = frozenset(layers)
        self._scopes = scopes
        self._order = order  # of the gradients written by hand that lead here
        self.active: dict[Place, None] = {}
        self.cuts: dict[Place, None] = {}
        self.unknown: dict[Place, None] = {}
        self.mended: dict[Place, None] = {}
        self.rankless: dict[Place, None] = {}
        self.resists_vectorising = False

    def through(self, states: dict[Any, Dependence], results: Sequence[tf.Tensor]) -> None:
        """Adds to `states` every tensor on the way to `results` that depends on those in it."""
        self._over(needed(results), states)

    def _over(self, ops: Sequence[tf.Operation], states: dict[Any, Dependence]) -> None:
        start = dict(states)
        for op in ops:
            given = [states.get(tensor.ref(), Dependence.NONE) for tensor in op.inputs]
            if not any(given):
                continue
            if has_custom_gradient(op):
                found = self._custom_gradient(op, given, start, states)
            else:
                found = self._outputs(op, given)
            for tensor, state in zip(op.outputs, found, strict=True):
                states.setdefault(tensor.ref(), state)
                if state is Dependence.ACTIVE and is_inexact(tensor) and tensor.shape.rank is None:
                    self.rankless[self.place(op)] = None

    def _outputs(self, op: tf.Operation, given: list[Dependence]) -> list[Dependence]:
        if op.type in CALLS:
            self.resists_vectorising |= private.must_be_compiled(op)
            return self._function(functions_of(op)[0], given)
        if op.type in LOOPS:
            return self._loop(op, given)
        if op.type in BRANCHES:
            return self._branches(op, given)
        return self._plain(op, given)

    def _function(self, body: Body, given: Sequence[Dependence]) -> list[Dependence]:
        states = {tensor.ref(): s for tensor, s in zip(body.inputs, given, strict=True) if s}
        self.through(states, body.outputs)
        return [states.get(tensor.ref(), Dependence.NONE) for tensor in body.outputs]

    def _loop(self, op: tf.Operation, given: list[Dependence]) -> list[Dependence]:
        self.resists_vectorising = True
        _, body = functions_of(op)
        while True:  # dependence only grows, so this ends
            after = self._function(body, given)
            grown = [max(pair) for pair in zip(given, after, strict=True)]
            if grown == given:
                return given
            given = grown

    def _branches(self, op: tf.Operation, given: list[Dependence]) -> list[Dependence]:
        self.resists_vectorising = True
        chosen = Dependence.CUT if given[0] else Dependence.NONE
        results = [self._function(body, given[1:]) for body in functions_of(op)]
        return [max(chosen, *states) for states in zip(*results, strict=True)]

    def _custom_gradient(
        self,
        op: tf.Operation,
        given: list[Dependence],
        start: Mapping[Any, Dependence],
        states: Mapping[Any, Dependence],
    ) -> list[Dependence]:
        """Derivatives pass by the arguments of the function, and by its author's formula only.

        Args:
            op: where the function ends; it takes the function's results and then its arguments.
            given: how these depend on the input.
            start: what was known before the first op of the graph.
            states: what is known by now.
        """
        count = private.results_with_custom_gradient(op)
        formula = gradient_formula(op) if count else None
        if formula is None:
            return self._plain(op, given)
        upstream, gradients = formula
        arguments = list(enumerate(op.inputs))[count:]
        active = {i for i, _ in arguments if given[i] >= Dependence.ACTIVE}
        # What reaches the results otherwise than by arguments that have a gradient.
        around = {**start, **{x.ref(): Dependence.NONE for _, x in arguments}}
        around |= {x.ref(): given[i] for i, x in arguments if gradients[i] is None}
        reach = max(self._aside(op.inputs[:count], around)[0])
        if reach >= Dependence.ACTIVE:
            blind = [i - count for i in sorted(active) if gradients[i] is None]
            by = f"its argument {blind[0]} (from 0)" if blind else "a tensor that is no argument"
            place = self.place(op)
            self.unknown[replace(place, op_type="a tf.custom_gradient", by=by)] = None
            return [Dependence.UNKNOWN for _ in op.outputs]
        written = {i: gradients[i] for i in active if gradients[i] is not None}
        if self._order > 0:  # it is not differentiated again, and may hold itself
            return self._plain(op, [reach, *(given[i] for i in written)])
        seeds = {x.ref(): Dependence.ACTIVE for x in upstream if x is not None}
        found, unknown = self._aside(list(written.values()), {**states, **seeds})
        if Dependence.UNKNOWN in found:
            self.unknown |= unknown
            return [Dependence.UNKNOWN for _ in op.outputs]
        return self._plain(op, [reach, *(given[i] for i in written)])

    def _aside(
        self, fetches: Sequence[tf.Tensor], states: dict[Any, Dependence]
    ) -> tuple[list[Dependence], dict[Place, None]]:
        """How tensors depend on those in `states`, and what is unknown on the way."""
        flow = _Flow(self._layers, self._scopes, self._order + 1)
        flow._over(needed(fetches, states), states)
        return [states.get(x.ref(), Dependence.NONE) for x in fetches], flow.unknown

    def _plain(self, op: tf.Operation, given: list[Dependence]) -> list[Dependence]:
        if traits_of(op.type).shapes_only:
            return [Dependence.NONE for _ in op.outputs]
        state = max(given)
        if state >= Dependence.ACTIVE:
            state = self._carried(op, given)
            place = self.place(op)
            if state is Dependence.ACTIVE:
                self.active[place] = None
            if state is Dependence.CUT or any(
                o.consumers() and not _may_carry(o.dtype) for o in op.outputs
            ):
                self.cuts[place] = None  # the latter such as the indices that come with a sort
        states = [state if _may_carry(output.dtype) else Dependence.CUT for output in op.outputs]
        if state is Dependence.ACTIVE:
            for index in missing_gradients.of_output(op):
                states[index] = Dependence.UNKNOWN
                if op.outputs[index].consumers():
                    self.unknown[self.place(op)] = None
        return states

    def _carried(self, op: tf.Operation, given: list[Dependence]) -> Dependence:
        """How what `op` gives depends on the input, where a derivative reaches the op."""
        mended = op.type in OVERRIDES or is_stopped_mean_of_moments(op)
        stops = traits_of(op.type).ends
        if (stops and not mended) or not any(_may_carry(output.dtype) for output in op.outputs):
            return Dependence.CUT
        if Dependence.UNKNOWN in given:
            return Dependence.UNKNOWN
        by = missing_gradients.by_input(op)
        active = {i for i, state in enumerate(given) if state is Dependence.ACTIVE}
        if by and active & by:
            return self._unknown(op, min(active & by))
        if active <= missing_gradients.constant_in(op):
            return Dependence.CUT
        if mended:
            self.mended[self.place(op)] = None
            return Dependence.ACTIVE
        try:
            if private.registered_gradient(op.type) is not None:
                return Dependence.ACTIVE
        except LookupError:
            return self._unknown(op)
        return self._unknown(op) if by is None else Dependence.CUT

    def _unknown(self, op: tf.Operation, index: int | None = None) -> Dependence:
        by = "" if index is None else f"its input {op.op_def.input_arg[index].name!r}"
        self.unknown[replace(self.place(op), by=by)] = None
        return Dependence.UNKNOWN

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
