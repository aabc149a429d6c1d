"""Ops by a formula in other ops, through which jets are pushed instead."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Jet
from keras_curvature.engines.taylor.modes import Adjoint, Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, require_function
from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.interpreter import Environment
from keras_curvature.engines.tensorflow.taylor.active_path import passages
from keras_curvature.engines.tensorflow.taylor.propagation import gradients_by, propagate
from keras_curvature.engines.tensorflow.taylor.structure import batch_leads
from keras_curvature.engines.tensorflow.taylor.tape import ActiveJets, OpTape

Formula = Callable[..., Any]


def through(formula: Formula) -> Rule:
    """An op by a formula for its outputs, in other ops that have rules.

    Args:
        formula: from the `tf.Operation`, whose attributes it may read, and the op's inputs to
            its first output or a list of the first ones, in TensorFlow ops. Nothing is known
            of the derivatives of those that are left out.

    Raises:
        TypeError: for what is no function.
    """
    require_function("formula", formula)

    def propagate_through(step: Step, jets: Jets, mode: Mode) -> Jets:
        traced = _traced(formula, step.op, step.inputs)
        op_tape = OpTape(step.outputs[0].dtype, {})
        environment: Environment = {
            inner.ref(): outer
            for inner, outer in zip(
                traced.graph.inputs, [*step.inputs, *traced.captured_inputs], strict=True
            )
        }
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch([jet.value for jet in jets if jet is not None])
            results = op_tape.fetch(environment, traced.graph.outputs)
        if isinstance(mode, Adjoint):
            known = [mode.gradient(y) for y in step.outputs[: len(results)]]
            used = [i for i, rows in enumerate(known) if rows is not None]
            seeds = list(zip(*(tf.unstack(known[i]) for i in used), strict=True))
            targets = [[results[i] for i in used]] * len(seeds)
            mode.learn(gradients_by(tape, targets, seeds, op_tape.steps))
        active = ActiveJets(jet for jet in jets if jet is not None)
        propagate(op_tape.steps, active, mode)
        found = [active.of(y) for y in results] + [None] * (len(step.outputs) - len(results))
        return [jet and Jet(y, jet.of) for y, jet in zip(step.outputs, found, strict=True)]

    def keeps_batch(op: tf.Operation) -> bool:
        try:
            traced = _traced(formula, op, op.inputs)
        except NotImplementedError:  # a use of the op that the formula does not cover
            return False
        return batch_leads(passages(traced.graph, traced.inputs, traced.outputs))

    return Rule(propagate_through, keeps_batch=keeps_batch)


def _traced(formula: Formula, op: tf.Operation, inputs: Sequence[tf.Tensor]) -> Any:
    """The formula as a graph, for inputs like these."""
    specs = [tf.TensorSpec(x.shape, x.dtype) for x in inputs]
    with tf.init_scope():
        call = tf.function(private.recorded()(functools.partial(formula, op)), autograph=False)
        return call.get_concrete_function(*specs)
