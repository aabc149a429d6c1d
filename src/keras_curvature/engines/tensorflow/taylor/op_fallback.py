"""Derivatives of an op without a rule, from its own reverse derivative.

With `g(x, u)` the gradient of `u · f(x)`, linear in `u`: the gradient of `g · v` by `u` is
`f' v`, and the gradient by `u` of the gradient by `x` of `g · v`, times `v`, is `f'' v v`
(the double-backward trick, Townsend, A new trick for calculating Jacobian vector products,
2017). One direction after the other, so it costs what it costs; the result is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_curvature.engines.taylor import without_rule
from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.jets import Base, Jet, plus, spread
from keras_curvature.engines.taylor.modes import Adjoint, Collapsed, Mode, UnsuitedError
from keras_curvature.engines.taylor.registry import Jets, Step
from keras_curvature.engines.tensorflow.private import has_gradient

ZERO = tf.UnconnectedGradients.ZERO


def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
    """The jets of the outputs of any op that TensorFlow can differentiate.

    Raises:
        UnsuitedError: where nothing of second order is carried.
    """
    if isinstance(mode, Adjoint):
        raise UnsuitedError(step.op.type)
    if not has_gradient(step.op.type):
        # Activity analysis lets it pass only inside a `tf.custom_gradient`, which speaks for it.
        return [None] * len(step.outputs)
    active = [i for i, jet in enumerate(jets) if jet is not None]
    bases = [mode.settle(jet).base for jet in jets if jet is not None]
    values = [step.inputs[i] for i in active]
    firsts = [spread(base.first, x) for base, x in zip(bases, values, strict=True)]
    wanted = [i for i, y in enumerate(step.outputs) if y.dtype.is_floating or y.dtype.is_complex]
    if any(x.dtype == tf.variant for x in values):
        raise NotImplementedError(f"{step.op.type} of a list of tensors")

    def function(arguments: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        inputs = list(step.inputs)
        for i, argument in zip(active, arguments, strict=True):
            inputs[i] = argument
        outputs = step.again(inputs)
        return [outputs[i] for i in wanted]

    if isinstance(mode, HigherOrders):
        return without_rule.propagate(step, jets, mode, wanted, _along_paths)
    outputs = [step.outputs[i] for i in wanted]
    count = len(wanted)

    def first_along(v: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        return _along(function, values, outputs, v)[:count]

    if not mode.has_second:
        return _placed(step, wanted, _mapped(first_along, firsts, outputs))
    stacked = _mapped(lambda v: _along(function, values, outputs, v), firsts, [*outputs, *outputs])
    found, bends = stacked[:count], stacked[count:]
    seconds: list[tf.Tensor | None] = list(bends)
    if isinstance(mode, Collapsed):
        seconds = [tf.reduce_sum(bend, axis=0, keepdims=True) for bend in bends]
    if any(base.second is not None for base in bases):
        slices = next(base.second.shape[0] for base in bases if base.second is not None)
        inherited = [
            tf.zeros_like(first[:slices]) if base.second is None else spread(base.second, x)
            for base, first, x in zip(bases, firsts, values, strict=True)
        ]
        carried = _mapped(first_along, inherited, outputs)
        seconds = [plus(own, more) for own, more in zip(seconds, carried, strict=True)]
    return _placed(step, wanted, found, seconds)


def _placed(
    step: Step,
    wanted: Sequence[int],
    firsts: Sequence[tf.Tensor],
    seconds: Sequence[tf.Tensor | None] | None = None,
) -> list[Jet | None]:
    """The jets of an op's outputs, of which only some have derivatives."""
    jets: list[Jet | None] = [None] * len(step.outputs)
    for i, first, second in zip(wanted, firsts, seconds or [None] * len(firsts), strict=True):
        jets[i] = Jet(step.outputs[i], Base(first, second))
    return jets


def _along(
    function: Callable[[Sequence[tf.Tensor]], list[tf.Tensor]],
    values: Sequence[tf.Tensor],
    outputs: Sequence[tf.Tensor],
    v: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """`f' v` of every output, then `f'' v v` of every output."""
    # Not 0: some gradients are written as a quotient by what they are linear in.
    weights = [_views(tf.ones_like(y)) for y in outputs]
    parts = [_views(x) for x in values]
    directions = [_views(t) for t in v]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as by_weights:
        by_weights.watch(weights)
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch(parts)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(parts)
                results = function([_whole(part) for part in parts])
                total = _dot([_views(y) for y in results], weights)
            slopes = inner.gradient(total, parts, unconnected_gradients=ZERO)
            along = _dot(slopes, directions)
        bends = outer.gradient(along, parts, unconnected_gradients=ZERO)
        twice = _dot(bends, directions)
    first = by_weights.gradient(along, weights, unconnected_gradients=ZERO)
    second = by_weights.gradient(twice, weights, unconnected_gradients=ZERO)
    return [_whole(part) for part in (*first, *second)]


def _along_paths(
    path_of: Callable[[Sequence[tf.Tensor]], without_rule.Path],
    reach: int,
    stacks: Sequence[tf.Tensor],
    outputs: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Derivatives by a number of all orders up to `reach`, for each slice of the stacks."""

    def derivatives(slices: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        path = path_of(slices)
        dtype = (slices[0].dtype).real_dtype
        weights = [_views(tf.ones_like(y)) for y in outputs]

        def totals(t: tf.Tensor, order: int) -> list[tf.Tensor]:
            """`u · y(t)` and its derivatives: numbers, which one pass backwards has each."""
            if order == 0:
                return [_dot([_views(y) for y in path(t)], weights)]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(t)
                lower = totals(t, order - 1)
            return [
                *lower,
                tape.gradient(lower[-1], t, unconnected_gradients=ZERO),
            ]

        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as by_weights:
            by_weights.watch(weights)
            _, *found = totals(tf.zeros([], dtype), reach)
        return [
            _whole(parts)
            for total in found
            for parts in by_weights.gradient(total, weights, unconnected_gradients=ZERO)
        ]

    return _mapped(derivatives, stacks, list(outputs) * reach)


def _views(tensor: tf.Tensor) -> list[tf.Tensor]:
    """The real parts that a tensor consists of, among which derivatives are plain."""
    if tensor.dtype.is_complex:
        return [tf.math.real(tensor), tf.math.imag(tensor)]
    return [tf.identity(tensor)]


def _whole(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.complex(*parts) if len(parts) == 2 else parts[0]


def _dot(a: Sequence[Sequence[tf.Tensor]], b: Sequence[Sequence[tf.Tensor]]) -> tf.Tensor:
    pairs = zip(tf.nest.flatten(a), tf.nest.flatten(b), strict=True)
    return tf.add_n([tf.reduce_sum(x * y) for x, y in pairs])


def _mapped(
    function: Callable[[Sequence[tf.Tensor]], list[tf.Tensor]],
    stacks: Sequence[tf.Tensor],
    outputs: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Asks about one direction after the other."""
    count = stacks[0].shape[0]
    if count <= 2:
        found = [function([stack[i] for stack in stacks]) for i in range(count)]
        return [tf.stack(parts) for parts in zip(*found, strict=True)]
    signature = [tf.TensorSpec(y.shape, y.dtype) for y in outputs]
    return tf.map_fn(function, list(stacks), fn_output_signature=signature)
