"""Rules of primitives that are linear in each of their inputs: moves, sums, products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from keras_curvature.engines.jax.taylor.jvp import vmapped
from keras_curvature.engines.taylor.jets import Base, Jet, is_shared, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, never
from keras_curvature.engines.taylor.rule_constructors import linear_in, product


def moved(on_stack: Callable[[Step, Any], Any]) -> Rule:
    """A linear function of the first input whose stack may hold one slice for all examples."""
    return linear_in((0,), lambda step, i, stack: on_stack(step, stack))


def linear(*which: int) -> Rule:
    """A sum of linear functions of single inputs, of all examples."""

    def part(step: Step, i: int, stack: Any) -> Any:
        inputs = [jnp.zeros_like(x) if j in which else x for j, x in enumerate(step.inputs)]
        return jax.vmap(lambda x: step.again([*inputs[:i], x, *inputs[i + 1 :]])[0])(stack)

    return linear_in(which, part, never)


def gathered() -> Rule:
    """`gather`: what stands in for a place outside does not change, whatever its value is."""

    def part(step: Step, i: int, stack: Any) -> Any:
        params = {**step.op.params, "fill_value": 0}
        return jax.vmap(lambda x: lax.gather_p.bind(x, step.inputs[1], **params))(stack)

    return linear_in((0,), part, never)


def _behind(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def transposed(step: Step, stack: Any) -> Any:
    """`transpose`."""
    order = step.op.params["permutation"]
    stack = stack if order[0] == 0 else spread(stack, step.inputs[0])
    return jnp.transpose(stack, (0, *_behind(order)))


def summed(step: Step, stack: Any) -> Any:
    """`reduce_sum`."""
    axes = step.op.params["axes"]
    stack = spread(stack, step.inputs[0]) if 0 in axes else stack
    return jnp.sum(stack, axis=_behind(axes))


def _sized(step: Step, stack: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """A result's shape for a stack, which may hold one slice for all examples."""
    examples = 1 if is_shared(stack, step.inputs[0]) else shape[0]
    return (stack.shape[0], examples, *shape[1:])


def _leads(step: Step) -> bool:
    x, y = step.inputs[0], step.outputs[0]
    return bool(x.ndim and y.ndim) and x.shape[0] == y.shape[0]


def reshaped(step: Step, stack: Any) -> Any:
    """`reshape`, and what adds or takes away axes of length 1."""
    y = step.outputs[0]
    if not _leads(step):
        stack = spread(stack, step.inputs[0])
        return jnp.reshape(stack, (stack.shape[0], *y.shape))
    return jnp.reshape(stack, _sized(step, stack, y.shape))


def broadcast(step: Step, stack: Any) -> Any:
    """`broadcast_in_dim`."""
    places, y = step.op.params["broadcast_dimensions"], step.outputs[0]
    leads = bool(places) and places[0] == 0 and _leads(step)
    stack = stack if leads else spread(stack, step.inputs[0])
    shape = _sized(step, stack, y.shape) if leads else (stack.shape[0], *y.shape)
    return lax.broadcast_in_dim(stack, shape, (0, *_behind(places)))


def _left(step: Step, stack: Any) -> Any:
    """A product with a constant on the right, of all directions at once where none is apart."""
    (over, behind), (apart, _) = step.op.params["dimension_numbers"]
    a, b = step.inputs
    if apart or 0 in over:
        return jax.vmap(step.with_operand)(spread(stack, a))
    precision, count = step.op.params["precision"], len(over)
    if count and over == tuple(range(a.ndim - count, a.ndim)) and behind == tuple(range(count)):
        # As matrices: XLA takes twice as long for the gradient by `b` of a product of stacks.
        flat = jnp.reshape(b, (math.prod(b.shape[:count]), -1))
        rows = jnp.reshape(stack, (-1, flat.shape[0]))
        found = lax.dot(rows, flat, precision=precision)
        return jnp.reshape(found, (*stack.shape[:-count], *b.shape[count:]))
    return lax.dot_general(stack, b, ((_behind(over), behind), ((), ())), precision=precision)


def _right(step: Step, stack: Any) -> Any:
    return jax.vmap(lambda x: step.with_operand(x, 1))(spread(stack, step.inputs[1]))


def _both(step: Step, a: Any, b: Any) -> Any:
    return jax.vmap(lambda x, y: step.again([x, y])[0])(a, b)


def _both_summed(step: Step, a: Any, b: Any) -> Any:
    """The sum over the directions is one more axis to contract."""
    (left, right), (one, other) = step.op.params["dimension_numbers"]
    numbers = (((0, *_behind(left)), (0, *_behind(right))), (_behind(one), _behind(other)))
    return lax.dot_general(a, b, numbers, precision=step.op.params["precision"])[None]


def matrix_product() -> Rule:
    """`dot_general`."""
    plain = product(_both, _left, _right, _both_summed)

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        (over, behind), (apart, _) = step.op.params["dimension_numbers"]
        a, b = jets
        _, w = step.inputs
        whole = isinstance(a and a.of, Base) and a is not None and a.base.is_identity
        if b is None and whole and not apart and (over, behind) == ((1,), (0,)) and w.ndim == 2:
            return [Jet(step.outputs[0], Base(w[:, None]))]
        return plain.propagate(step, jets, mode)

    return replace(plain, propagate=propagate)


def _folded(step: Step, i: int, stack: Any) -> Any:
    """A primitive that treats the examples along the first axis alike: more examples do."""
    whole = spread(stack, step.inputs[i])
    flat = jnp.reshape(whole, (-1, *whole.shape[2:]))
    found = step.with_operand(flat, i)
    return jnp.reshape(found, (whole.shape[0], -1, *found.shape[1:]))


def convolution() -> Rule:
    """`conv_general_dilated`."""

    def left(step: Step, stack: Any) -> Any:
        numbers, groups = (step.op.params[k] for k in ("dimension_numbers", "batch_group_count"))
        if groups != 1 or numbers.lhs_spec[0] or numbers.out_spec[0]:
            return vmapped(step, spread(stack, step.inputs[0]))
        return _folded(step, 0, stack)

    return product(_both, left, _right)


def beside(step: Step, i: int, stack: Any) -> Any:
    """One part of a concatenation: 0 in the place of the others."""
    axis = step.op.params["dimension"]
    before = sum(x.shape[axis] for x in step.inputs[:i])
    after = sum(x.shape[axis] for x in step.inputs[i + 1 :])
    widths = [(0, 0)] * stack.ndim
    widths[axis + 1] = (before, after)
    return jnp.pad(stack, widths)
