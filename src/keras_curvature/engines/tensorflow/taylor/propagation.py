"""Pushes jets through the ops that a model ran, each by the rule for its type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Base, Jet
from keras_curvature.engines.taylor.modes import Gradients, Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, lookup
from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.graph_ops import has_custom_gradient
from keras_curvature.engines.tensorflow.op_patterns import is_lifted_stop, kind
from keras_curvature.engines.tensorflow.taylor import custom_gradient, op_fallback
from keras_curvature.engines.tensorflow.taylor.tape import ActiveJets, may_carry


def propagate(steps: Iterable[Step], active: ActiveJets, mode: Mode) -> None:
    """Adds the jets of all that `steps` compute from what is in `active`."""
    for step in steps:
        for jet in advance(step, active, mode):
            if jet is not None:
                _tell_shapes(jet, mode)
                active.add(jet)


def _tell_shapes(jet: Jet, mode: Mode) -> None:
    """Makes the sizes of the stacks known as far as those of the tensor are."""
    base, shape = jet.of, jet.value.shape
    if not isinstance(base, Base) or not shape.rank or tf.executing_eagerly():
        return
    base.first.set_shape([mode.directions, None, *shape[1:]])
    if base.second is not None:
        base.second.set_shape([mode.slices, None, *shape[1:]])


def advance(step: Step, active: ActiveJets, mode: Mode) -> Jets:
    """The jets of one op's outputs."""
    jets = [active.of(tensor) for tensor in step.inputs]
    if not any(jets) or not any(may_carry(output) for output in step.outputs):
        return [None] * len(step.outputs)
    rule = rule_for(step.op)
    if rule is None and has_custom_gradient(step.op):
        return custom_gradient.propagate(step, active, mode, propagate)
    unknown = any(jet and jet.value.shape.rank is None for jet in jets)
    if rule is None or unknown:
        return op_fallback.propagate(step, jets, mode)
    try:
        return rule.propagate(step, jets, mode)
    except NotImplementedError:  # a use of the op that its rule does not cover
        return op_fallback.propagate(step, jets, mode)


def rule_for(op: tf.Operation) -> Rule | None:
    """The rule for an op of a traced graph; `None` for the generic op_fallback."""
    if is_lifted_stop(op):
        return lookup("Identity")
    known = kind(op)
    if known == op.type and has_custom_gradient(op):
        return _custom_gradient_rule(op)
    return lookup(known)


def _custom_gradient_rule(op: tf.Operation) -> Rule | None:
    """A custom gradient is what its author says."""
    try:
        private.registered_gradient(op.get_attr("_gradient_op_type").decode())
    except LookupError:  # read from a file, where only the ops are left
        return lookup("Identity")
    return None


def gradients_by(
    tape: tf.GradientTape,
    targets: Sequence[Any],
    seeds: Sequence[Any],
    steps: Sequence[Step],
) -> Gradients:
    """The gradients of all targets by every result of the steps.

    Args:
        tape: recorded the steps.
        targets: what to differentiate, each a tensor or a list of them.
        seeds: the upstream gradient of each target, likewise; `None` for 1.
        steps: ops between what the tape watches and the targets.
    """
    tensors = [y for step in steps for y in step.outputs if y.dtype.is_floating]
    rows = [
        tape.gradient(target, tensors, output_gradients=seed)
        for target, seed in zip(targets, seeds, strict=True)
    ]

    def stacked(tensor: tf.Tensor, found: Sequence[tf.Tensor | None]) -> tf.Tensor | None:
        if all(part is None for part in found):
            return None
        return tf.stack([tf.zeros_like(tensor) if part is None else part for part in found])

    return {
        tensor.ref(): stacked(tensor, found) for tensor, *found in zip(tensors, *rows, strict=True)
    }
