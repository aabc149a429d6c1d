"""Power series through what a `tf.custom_gradient` says.

It gives `g(u) = f'ᵀ u`. Along a direction `y' = f'(x) x'`, order by order
`k y_k = Σ_j j f'_{k-j} x_j`, and `f'_i v` is the gradient by `u` of `g_i(u) · v`, with `g_i` the
coefficient `i` of what the formula gives where all that it looks up changes along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import tensorflow as tf

from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.jets import Jet, plus, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Step
from keras_curvature.engines.taylor.series import Orders, Series
from keras_curvature.engines.tensorflow.taylor.tape import ActiveJets, OpTape

ZERO = tf.UnconnectedGradients.ZERO


def propagate(
    step: Step,
    active: ActiveJets,
    mode: HigherOrders,
    push: Callable[[Iterable[Step], ActiveJets, Mode], None],
    known: Sequence[tuple[tf.Tensor, Jet]],
    upstream: Mapping[int, tf.Tensor],
) -> Jets:
    """The jets of the outputs of an `IdentityN` that carries a custom gradient.

    Args:
        step: the op.
        active: what is known so far.
        mode: carries the series.
        push: runs the formula's own ops.
        known: the formulas by the inputs that depend on the point, and these.
        upstream: what stands for `u` in the formulas, by the outputs.
    """
    orders = mode.orders
    inputs = [
        [None if c is None else spread(c, jet.value) for c in _series(mode, jet)]
        for _, jet in known
    ]
    seeds = {i: tf.ones_like(step.outputs[i]) for i in upstream}
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(list(seeds.values()))
        op_tape = OpTape(step.interpreter.dtype, step.interpreter.variables)
        inner = dict(step.environment)
        inner |= {upstream[i].ref(): seed for i, seed in seeds.items()}
        found = op_tape.fetch(inner, [g for g, _ in known])
        changes: list[Sequence[tf.Tensor | None]] = [[] for _ in found]
        if orders.highest > 1:
            lower = HigherOrders(Orders(orders.counts[1:]))
            changing = ActiveJets(_lowered(jet, mode, lower) for jet in active.jets())
            push(op_tape.steps, changing, lower)
            changes = [
                [None if c is None else spread(c, g) for c in lower.series(g, jet).coefficients]
                for g, jet in ((g, changing.of(g)) for g in found)
            ]
        totals = [
            _total(orders, order, found, changes, inputs) for order in range(1, orders.highest + 1)
        ]
    results: list[Jet | None] = [None] * len(step.outputs)
    for i, seed in seeds.items():
        y = step.outputs[i]
        stacks = [None if total is None else _gradients(tape, total, seed) for total in totals]
        if any(stack is not None for stack in stacks):
            results[i] = mode.jet(y, Series(orders, y, stacks))
    return results


def _series(mode: HigherOrders, jet: Jet) -> Sequence[tf.Tensor | None]:
    return mode.series(jet.value, jet).coefficients


def _lowered(jet: Jet, mode: HigherOrders, lower: HigherOrders) -> Jet:
    """All coefficients but the highest, along the directions that go one order further."""
    if jet.value.dtype == tf.variant:
        return Jet(jet.value, mode.settle(jet).base)  # a list, which no formula has looked up yet
    kept = [
        None if c is None else c[:count]
        for c, count in zip(_series(mode, jet), lower.orders.counts, strict=False)
    ]
    return lower.jet(jet.value, Series(lower.orders, jet.value, kept))


def _total(
    orders: Orders,
    order: int,
    formulas: Sequence[tf.Tensor],
    changes: Sequence[Sequence[tf.Tensor | None]],
    inputs: Sequence[Sequence[tf.Tensor | None]],
) -> list[tf.Tensor] | None:
    """`Σ_j j / k g_{k-j} · x_j` of all inputs, for each slice of an order `k`."""
    whole = None
    for g, g_changes, x in zip(formulas, changes, inputs, strict=True):
        own = None
        for j in range(1, order):
            a, b = g_changes[order - j - 1], x[j - 1]
            if a is not None and b is not None:
                own = plus(own, j / order * _dots(orders.of(a, order), orders.of(b, order)))
        whole = plus(whole, orders.summed(own, order))
        last = x[order - 1]
        if last is not None:
            whole = plus(whole, _dots(last, g))
    return None if whole is None else tf.unstack(whole, num=orders.slices(order))


def _dots(stack: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The inner product of each slice with a tensor, or with the slices of a stack."""
    return tf.reduce_sum(stack * other, axis=range(1, stack.shape.rank))


def _gradients(tape: tf.GradientTape, totals: Sequence[tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
    """The gradient by `seed` of each, stacked."""
    found = [tape.gradient(t, seed, unconnected_gradients=ZERO) for t in totals]
    return tf.stack(found)
