"""Re-emits a traced graph op by op, mending what TensorFlow gets wrong on the way.

A traced graph is run again as if it were being written down for the first time: each op
is emitted through `tf.raw_ops`, so that gradient tapes see it. That is what lets this
library replace single ops (`gradient_overrides.py`) and evaluate a model in another dtype than the
one it was built in. Functions are entered; loops and branches are re-emitted as loops and
branches around their bodies, re-emitted too.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.arrays import widened
from keras_curvature.engines.tensorflow.compilation import weight_for
from keras_curvature.engines.tensorflow.dtype_sensitive_ops import deciding
from keras_curvature.engines.tensorflow.gradient_overrides import (
    ALL_OUTPUTS,
    GUARDED,
    Formula,
    formula_for,
    with_derivatives_of,
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
    known_bound,
    needed,
    static_value,
    taken,
)
from keras_curvature.engines.tensorflow.op_emission import (
    call,
    emit_in_own_dtype,
    emit_plainly,
    listed,
    widen,
)
from keras_curvature.engines.tensorflow.op_patterns import is_lifted_stop
from keras_curvature.engines.tensorflow.safe_custom_gradient import safe_custom_gradient
from keras_curvature.engines.tensorflow.side_effects import without_effect
from keras_curvature.engines.tensorflow.tracing import Trace
from keras_curvature.engines.tensorflow.unselected_values import guards

Environment = dict[Any, tf.Tensor]
"""Tensor reference in the traced graph -> the tensor that now stands for it."""


@tf.autograph.experimental.do_not_convert
def run(
    trace: Trace,
    feeds: Mapping[Any, tf.Tensor],
    fetches: Sequence[tf.Tensor],
    dtype: tf.DType,
    *,
    mended: bool = True,
) -> list[tf.Tensor]:
    """Computes `fetches` of a traced model with some of its tensors replaced.

    Args:
        trace: the traced model.
        feeds: by `tensor.ref()`, what stands for the inputs and for any tensor inside.
        fetches: tensors of the traced graph.
        dtype: every narrower float dtype of the graph becomes this one.
        mended: as in `Interpreter`.
    """
    environment = given(trace, feeds, dtype)
    return Interpreter(dtype, trace.variables, mended=mended).fetch(environment, fetches)


def given(trace: Trace, feeds: Mapping[Any, tf.Tensor], dtype: tf.DType) -> Environment:
    """What is known before the first op: the feeds, and what the graph captured."""
    environment: Environment = {}
    for outer, inner in trace.captures:
        if inner.ref() not in trace.variables:
            environment[inner.ref()] = widen(outer, dtype)
    environment.update(feeds)
    return environment


class Interpreter:
    """Emits graphs into the graph (or eager context) that is current when it is called."""

    def __init__(
        self, dtype: tf.DType, variables: Mapping[Any, tf.Variable], *, mended: bool = True
    ) -> None:
        """Makes a interpreter.

        Args:
            dtype: every narrower float dtype becomes this one.
            variables: what the placeholders of variables' handles stand for.
            mended: whether to mend derivatives, or to leave them as TensorFlow has them.
        """
        self.dtype = dtype
        self.mended = mended
        # A trace has read the variables of one replica; each replica trains its own.
        self.variables = {
            handle: private.on_this_replica(weight_for(handle, variable))
            for handle, variable in variables.items()
        }

    def fetch(self, environment: Environment, fetches: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Adds to `environment` what `fetches` need, and returns them."""
        ops = needed(fetches, ChainMap(environment, self.variables))
        in_own_dtype = deciding(ops)
        for op in ops:
            variable = self._variable(op)
            if variable is not None:
                outputs: Sequence[Any] = [widen(variable.read_value(), self.dtype)]
            else:
                inputs = [self._value(tensor, environment) for tensor in op.inputs]
                if op in in_own_dtype:
                    outputs = emit_in_own_dtype(op, inputs, self.dtype)
                else:
                    outputs = self.emit(op, inputs, environment)
            for old, new in zip(op.outputs, outputs, strict=True):
                if new.shape.rank is None and old.shape.rank is not None:
                    new.set_shape([None] * old.shape.rank)
                environment.setdefault(old.ref(), new)
        return [self._value(fetch, environment) for fetch in fetches]

    def emit(
        self, op: tf.Operation, inputs: Sequence[Any], environment: Environment
    ) -> Sequence[Any]:
        """Emits one op of the traced graph on new inputs.

        Args:
            op: the op.
            inputs: what stands for the op's inputs.
            environment: of the op's graph; a custom gradient may look things up in it.
        """
        if self.mended:
            held = guards(op, inputs, environment)
            inputs = [held[i].output if i in held else x for i, x in enumerate(inputs)]
        return self.emit_as_given(op, inputs, environment)

    def emit_as_given(
        self, op: tf.Operation, inputs: Sequence[Any], environment: Environment
    ) -> Sequence[Any]:
        """As `emit`, on inputs that are guarded already."""
        passed = without_effect(op, inputs)
        if passed is not None:
            return passed
        if self.mended:
            if is_lifted_stop(op):
                return inputs
            if op.type in GUARDED and inputs[0].dtype.is_floating:
                return GUARDED[op.type](op, *inputs)
        formula = formula_for(op) if self.mended or not private.has_raw_op(op.type) else None
        if formula is not None:
            return self._supplied(op, inputs, formula)
        if op.type in CALLS:
            return self._function(op, inputs)
        if op.type in LOOPS:
            return self._loop(op, inputs)
        if op.type in BRANCHES:
            return self._branch(op, inputs)
        if has_custom_gradient(op):
            return self._custom_gradient(op, inputs, environment)
        return emit_plainly(op, inputs, self.dtype)

    def _variable(self, op: tf.Operation) -> tf.Variable | None:
        if op.type != "ReadVariableOp":
            return None
        return self.variables.get(op.inputs[0].ref())

    def _value(self, tensor: tf.Tensor, environment: Environment) -> Any:
        """What stands for `tensor`; a variable's handle is marked as used for the tapes."""
        variable = self.variables.get(tensor.ref())
        if variable is None:
            return environment[tensor.ref()]
        variable.read_value()
        return variable.handle

    def enter(
        self, body: Body, values: Sequence[Any], given: Iterable[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Emits a function's graph on `values`, which stand for the tensors `given`."""
        environment: Environment = {}
        for inner, value, outer in zip(body.inputs, values, given, strict=True):
            if outer.ref() in self.variables:
                self.variables[inner.ref()] = self.variables[outer.ref()]
            else:
                environment[inner.ref()] = value
        return self.fetch(environment, body.outputs)

    def _supplied(
        self, op: tf.Operation, inputs: Sequence[Any], supplied: Formula
    ) -> list[tf.Tensor]:
        """An op with its own values and the derivatives of a formula."""
        count = len(op.outputs) if op.type in ALL_OUTPUTS else 1

        def formula(*values: tf.Tensor) -> list[tf.Tensor]:
            return listed(supplied(op, *values))

        def value(*values: tf.Tensor) -> list[tf.Tensor]:
            return call(op, values, self.dtype)[:count]

        if op.type == "IdentityN":  # derivatives pass by the arguments, not by their result
            inputs = [tf.stop_gradient(inputs[0]), *inputs[1:]]
        arguments = zip(op.op_def.input_arg, inputs, strict=False)
        dtype = next((x.dtype for a, x in arguments if a.type_attr == "T"), inputs[0].dtype)
        if not private.has_kernel(op.type, dtype):
            return formula(*inputs)
        try:
            others = call(op, inputs, self.dtype)[count:] if len(op.outputs) > count else []
            outputs = listed(with_derivatives_of(formula, value)(*inputs))
        except (AttributeError, TypeError, ValueError, tf.errors.InvalidArgumentError):
            # TensorFlow has no such op in this dtype, or none in `raw_ops`.
            return formula(*inputs)
        # An op that gives float32 whatever it is given would lose half the digits.
        narrow = any(y.dtype != widened(y.dtype, self.dtype) for y in outputs)
        return [*(formula(*inputs) if narrow else outputs), *others]

    def _function(self, op: tf.Operation, inputs: Sequence[Any]) -> list[tf.Tensor]:
        (function,) = functions_of(op)
        if not private.must_be_compiled(op):
            return self.enter(function, inputs, op.inputs)
        # What its author has XLA compile may not exist outside XLA (grouped convolution and
        # its gradient on a CPU), so it stays a compiled function.
        given = [i for i, tensor in enumerate(op.inputs) if tensor.ref() not in self.variables]

        def body(*values: tf.Tensor) -> list[tf.Tensor]:
            full = list(inputs)
            for i, value in zip(given, values, strict=True):
                full[i] = value
            return self.enter(function, full, op.inputs)

        compiled = tf.function(body, autograph=False, jit_compile=True)
        return listed(compiled(*(inputs[i] for i in given)))

    def _branch(self, op: tf.Operation, inputs: Sequence[Any]) -> list[tf.Tensor]:
        def branch(body: Body) -> Callable[[], list[tf.Tensor]]:
            return lambda: self.enter(body, inputs[1:], list(op.inputs)[1:])

        branches = [branch(body) for body in functions_of(op)]
        known = static_value(inputs[0])
        if known is not None:  # another branch may not even fit the shapes
            return branches[taken(op, known, len(branches))]()
        return listed(tf.switch_case(tf.cast(inputs[0], tf.int32), branches))

    def _loop(self, op: tf.Operation, inputs: Sequence[Any]) -> list[tf.Tensor]:
        """Re-emits a loop around its body.

        What the body hands on unchanged (weights, the whole input sequence) is used from
        outside instead of being carried, so that a gradient does not stack a copy per step.
        """
        condition, body = functions_of(op)
        carried = [i for i, out in enumerate(body.outputs) if out is not body.inputs[i]]

        def all_values(values: Sequence[Any]) -> list[Any]:
            full = list(inputs)
            for i, value in zip(carried, values, strict=True):
                full[i] = value
            return full

        def step(*values: Any) -> list[tf.Tensor]:
            outputs = self.enter(body, all_values(values), op.inputs)
            return [outputs[i] for i in carried]

        def going_on(*values: Any) -> tf.Tensor:
            return self.enter(condition, all_values(values), op.inputs)[0]

        results = tf.while_loop(
            going_on,
            step,
            [inputs[i] for i in carried],
            shape_invariants=[body.outputs[i].shape for i in carried],
            parallel_iterations=op.get_attr("parallel_iterations"),
            # XLA has to know how often a loop turns in order to differentiate it.
            maximum_iterations=known_bound(op.inputs[1]),
        )
        return all_values(listed(results))

    def _custom_gradient(
        self, op: tf.Operation, inputs: Sequence[Any], environment: Environment
    ) -> list[tf.Tensor]:
        """Keeps the meaning that the model's author gave to a derivative."""
        formula = gradient_formula(op)
        if formula is None:
            return emit_plainly(op, inputs, self.dtype)
        upstream, gradients = formula
        differentiable = [i for i, tensor in enumerate(op.inputs) if is_inexact(tensor)]

        @safe_custom_gradient
        def identity(*values: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
            def gradient(*seeds: tf.Tensor) -> list[tf.Tensor | None]:
                inner = dict(environment)
                for i, seed in zip(differentiable, seeds, strict=True):
                    inner[upstream[i].ref()] = seed
                wanted = [gradients[i] for i in differentiable]
                found = iter(self.fetch(inner, [g for g in wanted if g is not None]))
                return [None if g is None else next(found) for g in wanted]

            return [tf.identity(value) for value in values], gradient

        outputs = list(inputs)
        results = listed(identity(*(inputs[i] for i in differentiable)))
        for i, result in zip(differentiable, results, strict=True):
            outputs[i] = result
        return outputs
