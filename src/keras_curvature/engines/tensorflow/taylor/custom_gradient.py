"""Derivatives of what a `tf.custom_gradient` says, which is all that is known of a function.

It gives `g(u) = f'ᵀ u`, linear in `u`. The gradient of `g(u) · v` by `u` is `f' v`, and that
of its change along `v`, with whatever the formula looks up changing too, is `f'' v v`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import tensorflow as tf

from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.jets import Base, Jet, plus, spread
from keras_curvature.engines.taylor.modes import Adjoint, FirstOrder, Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, lookup
from keras_curvature.engines.tensorflow import (
    elementary_functions,
    gradient_overrides,
    private,
    softmax_functions,
)
from keras_curvature.engines.tensorflow.graph_ops import gradient_formula
from keras_curvature.engines.tensorflow.op_patterns import kind
from keras_curvature.engines.tensorflow.taylor import custom_gradient_series, op_fallback
from keras_curvature.engines.tensorflow.taylor.tape import ActiveJets, OpTape

AUTHORS = (
    elementary_functions.sloped,
    gradient_overrides.with_derivatives_of,
    softmax_functions.softmax,
)
"""What of this library gives functions other derivatives than TensorFlow's."""

SLOPED = frozenset(
    {"Elu", "Expm1", "Selu", "Sigmoid", "Softmax", "Softplus", "Softsign", "Swish", "Tanh"}
)
"""Functions to which that happens, and for which there is a rule."""

Push = Callable[[Iterable[Step], ActiveJets, Mode], None]
"""Adds the jets of all that some steps compute."""


def propagate(step: Step, active: ActiveJets, mode: Mode, push: Push) -> Jets:
    """The jets of the outputs of an `IdentityN` that carries a custom gradient.

    Args:
        step: the op.
        active: what is known so far.
        mode: adds up second orders.
        push: runs the formula's own ops.
    """
    own = _rule_of_value(step.op)
    if own is not None:
        _, *inputs = step.inputs
        known_op = replace(step, op=step.op.inputs[0].op, inputs=tuple(inputs))
        (jet, *_) = own.propagate(known_op, [active.of(x) for x in inputs], mode)
        return [jet, *[None] * (len(step.outputs) - 1)]
    formula = gradient_formula(step.op)
    if formula is None or isinstance(mode, Adjoint):
        return op_fallback.propagate(step, [active.of(x) for x in step.inputs], mode)
    upstream, gradients = formula
    known = [
        (g, jet)
        for g, x in zip(gradients, step.inputs, strict=True)
        if g is not None and (jet := active.of(x)) is not None
    ]
    seeded = [i for i, placeholder in enumerate(upstream) if placeholder is not None]
    if isinstance(mode, HigherOrders):
        given = {i: upstream[i] for i in seeded}
        return custom_gradient_series.propagate(step, active, mode, push, known, given)
    bases = [mode.settle(jet).base for _, jet in known]
    firsts = [spread(base.first, jet.value) for base, (_, jet) in zip(bases, known, strict=True)]
    seeds = [tf.ones_like(step.outputs[i]) for i in seeded]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(seeds)
        op_tape = OpTape(step.interpreter.dtype, step.interpreter.variables)
        inner = dict(step.environment)
        inner |= {upstream[i].ref(): seed for i, seed in zip(seeded, seeds, strict=True)}
        found = op_tape.fetch(inner, [g for g, _ in known])
        along = [_dots(stack, g) for stack, g in zip(firsts, found, strict=True)]
        turning: list[list[tf.Tensor]] = []
        if mode.has_second:
            changing, first_order = active.firsts(mode), FirstOrder(mode.directions)
            push(op_tape.steps, changing, first_order)
            turning = [
                _dots(stack, spread(first_order.settle(jet).base.first, g))
                for stack, g in zip(firsts, found, strict=True)
                if (jet := changing.of(g)) is not None
            ]
        inherited = [
            _dots(spread(base.second, g), g)
            for base, g in zip(bases, found, strict=True)
            if base.second is not None
        ]
    jets: list[Jet | None] = [None] * len(step.outputs)
    for i, seed in zip(seeded, seeds, strict=True):
        first = _gradients(tape, along, seed)
        own = _gradients(tape, turning, seed)
        if own is not None and mode.slices != mode.directions:
            own = tf.reduce_sum(own, axis=0, keepdims=True)
        if first is not None:
            jets[i] = Jet(
                step.outputs[i], Base(first, plus(own, _gradients(tape, inherited, seed)))
            )
    return jets


def _rule_of_value(op: tf.Operation) -> Rule | None:
    """That of a function of a number whose slope this library has written, as a layer inside has.

    By their formulas each slope would be another such function, with tapes of its own.
    """
    gradient = private.registered_gradient(op.get_attr("_gradient_op_type").decode())
    if gradient is None or not any(private.is_gradient_within(gradient, own) for own in AUTHORS):
        return None
    name = kind(op.inputs[0].op)
    # Of all that end in an `IdentityN` silu alone is given another derivative.
    name = "Swish" if name == "IdentityN" else name
    return lookup(name) if name in SLOPED else None


def _dots(stack: tf.Tensor, other: tf.Tensor) -> list[tf.Tensor]:
    """The inner products of each slice with a tensor, or with the slices of a stack."""
    others = tf.unstack(other) if other.shape.rank == stack.shape.rank else [other] * stack.shape[0]
    return [tf.reduce_sum(a * b) for a, b in zip(tf.unstack(stack), others, strict=True)]


def _gradients(
    tape: tf.GradientTape, sums: Sequence[Sequence[tf.Tensor]], seed: tf.Tensor
) -> tf.Tensor | None:
    """The gradient by `seed` of each slice's total, stacked."""
    totals = [tf.add_n(parts) for parts in zip(*sums, strict=True)]
    if not totals:
        return None
    zero = tf.UnconnectedGradients.ZERO
    return tf.stack([tape.gradient(t, seed, unconnected_gradients=zero) for t in totals])
