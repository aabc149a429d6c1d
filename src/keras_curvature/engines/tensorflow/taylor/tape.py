"""Keeps what a model does while it runs: its ops one by one, and the jets of its tensors."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Base, Jet
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Step
from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.graph_ops import CALLS
from keras_curvature.engines.tensorflow.interpreter import Environment, Interpreter
from keras_curvature.engines.tensorflow.unselected_values import guards


class OpTape(Interpreter):
    """Writes down every op that it emits; what it enters, op by op."""

    def __init__(
        self, dtype: tf.DType, variables: Mapping[Any, tf.Variable], *, as_given: bool = False
    ) -> None:
        """Makes a recorder that emits like a `Interpreter`.

        Args:
            dtype: of the numbers.
            variables: by the tensors that stand for them.
            as_given: whether what a `where` leaves out is computed all the same, as written.
        """
        super().__init__(dtype, variables)
        self.as_given = as_given
        self.steps: list[Step] = []

    def emit(
        self, op: tf.Operation, inputs: Sequence[Any], environment: Environment
    ) -> Sequence[Any]:
        """Emits one op and keeps it in `steps`."""
        if op.type in CALLS and not private.must_be_compiled(op):
            return super().emit(op, inputs, environment)
        # What happens inside a loop or a branch happens in another graph.
        plain = Interpreter(self.dtype, self.variables)
        held = {} if self.as_given else guards(op, inputs, environment)
        for guard in held.values():
            select = functools.partial(plain.emit_as_given, guard.op, environment=environment)
            self.steps.append(
                Step(guard.op, guard.inputs, (guard.output,), select, self, environment)
            )
        inputs = [held[i].output if i in held else x for i, x in enumerate(inputs)]

        def again(inputs: Sequence[Any]) -> Sequence[tf.Tensor]:
            return plain.emit_as_given(op, inputs, environment)

        outputs = again(inputs)
        self.steps.append(Step(op, tuple(inputs), tuple(outputs), again, self, environment))
        return outputs


class ActiveJets:
    """The jets of the tensors that depend on the point, by the tensors."""

    def __init__(self, jets: Iterable[Jet]) -> None:
        """Starts with those that are known."""
        self._by_tensor: dict[Any, Jet] = {}
        for jet in jets:
            self.add(jet)

    def add(self, jet: Jet) -> None:
        """Remembers the jet of `jet.value`."""
        self._by_tensor[jet.value.ref()] = jet

    def jets(self) -> Iterable[Jet]:
        """All that are known."""
        return self._by_tensor.values()

    def firsts(self, mode: Mode) -> ActiveJets:
        """The same without second derivatives."""
        settled = [mode.settle(jet) for jet in self._by_tensor.values()]
        return ActiveJets(Jet(jet.value, Base(jet.base.first)) for jet in settled)

    def of(self, tensor: Any) -> Jet | None:
        """The jet of a tensor, or `None` if it does not depend on the point."""
        return self._by_tensor.get(tensor.ref()) if hasattr(tensor, "ref") else None


def may_carry(tensor: Any) -> bool:
    """Whether a tensor can have a derivative: by its dtype, and by having entries at all."""
    dtype = getattr(tensor, "dtype", None)
    if dtype is None or not (dtype.is_floating or dtype.is_complex or dtype == tf.variant):
        return False
    return tensor.shape.rank is None or 0 not in tensor.shape.as_list()
