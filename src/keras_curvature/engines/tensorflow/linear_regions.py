"""Where the operations of a piecewise-linear model switch from one piece to another.

An interpreter that evaluates a model and keeps account, tensor by tensor, of how it depends on the
input. An operation that could make it anything but piecewise linear is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.activity import Place
from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.piecewise_linear import (
    Degree,
    degree_after,
    has_linear_pieces,
    refusal,
)
from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.activity_analysis import layer_of
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.graph_ops import BRANCHES, CALLS, Body
from keras_curvature.engines.tensorflow.interpreter import Environment, Interpreter, given


def switches_of(f: FlatFunction) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """What changes its sign where `f` goes from one linear piece to the next.

    Args:
        f: a function of one array.

    Returns:
        A function of points `(rows, d)`, to be called eagerly. It gives a tensor `(rows, units)`
        for each operation that switches, in the order of computation: where the signs before it do
        not change, each is linear in the points. It raises ValueError for an operation that is not
        known to be piecewise linear.
    """

    def switches(z: tf.Tensor) -> list[tf.Tensor]:
        board = _Switchboard(f)
        board.fetch(given(f.traced, f.feeds(z, ()), f.dtype), f.fetches)
        return [tf.reshape(tensor, [z.shape[0], -1]) for tensor in board.found]

    return switches


class _Switchboard(Interpreter):
    """Notes what it meets on its way, in `found`."""

    def __init__(self, f: FlatFunction) -> None:
        super().__init__(f.dtype, f.traced.variables)
        self.found: list[tf.Tensor] = []
        self._layers = {place.layer for place in f.activity.active}
        self._scopes = f.traced.scopes
        self._degrees = {tensor.ref(): Degree.LINEAR for tensor in f.source}
        self._returned: list[Degree] = []

    def emit(
        self, op: tf.Operation, inputs: Sequence[Any], environment: Environment
    ) -> Sequence[Any]:
        """Emits one op, if it is piecewise linear, and notes where it switches."""
        degrees = [self._degree(tensor) for tensor in op.inputs]
        active = Degree.LINEAR in degrees
        if active and not _is_piecewise_linear(op, degrees):
            raise refusal(Place(op.type, op.name, layer_of(op.name, self._layers, self._scopes)))
        outputs = super().emit(op, inputs, environment)
        self._note(op, degrees)
        found = traits_of(op.type).switches
        if active and found is not None:
            self.found += found(*inputs)
        return outputs

    def _note(self, op: tf.Operation, before: Sequence[Degree]) -> None:
        """Keeps the degrees of the outputs."""
        strongest = max(before, default=Degree.CONSTANT)
        after = [degree_after(traits_of(op.type), strongest)] * len(op.outputs)
        if op.type in CALLS | BRANCHES:
            after = self._returned
        for tensor, degree in zip(op.outputs, after, strict=True):
            self._degrees[tensor.ref()] = degree

    def enter(
        self, body: Body, values: Sequence[Any], given: Iterable[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Goes through a function's graph with what is known of its inputs."""
        outer = list(given)
        for inner, tensor in zip(body.inputs, outer, strict=True):
            self._degrees[inner.ref()] = self._degree(tensor)
        outputs = super().enter(body, values, outer)
        self._returned = [self._degree(tensor) for tensor in body.outputs]
        return outputs

    def _degree(self, tensor: tf.Tensor) -> Degree:
        return self._degrees.get(tensor.ref(), Degree.CONSTANT)


def _is_piecewise_linear(op: tf.Operation, given: list[Degree]) -> bool:
    """Whether an op with such inputs, at least one of them linear, gives linear pieces."""
    if op.type in CALLS:  # what its author has XLA compile is not entered eagerly
        return not private.must_be_compiled(op)
    if op.type == "Cast" and not op.outputs[0].dtype.is_floating:
        return False
    return has_linear_pieces(traits_of(op.type), given)
