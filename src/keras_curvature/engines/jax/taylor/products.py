"""Products of two arrays, of which several directions go through at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from keras_curvature.engines.jax.taylor.jvp import vmapped
from keras_curvature.engines.taylor.jets import Base, Jet, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import product


def shifted(axes: Sequence[int]) -> tuple[int, ...]:
    """Where the axes of an array are in a stack of such arrays."""
    return tuple(axis + 1 for axis in axes)


def _left(step: Step, stack: Any) -> Any:
    """A product with a constant on the right, of all directions at once where none is apart."""
    (over, behind), (apart, _) = step.op.params["dimension_numbers"]
    a, b = step.inputs
    if apart or 0 in over:
        return jax.vmap(step.with_operand)(spread(stack, a))
    precision, count = step.op.params["precision"], len(over)
    if over == tuple(range(a.ndim - count, a.ndim)) and behind == tuple(range(count)):
        # As matrices: XLA takes twice as long for the gradient by `b` of a product of stacks.
        flat = jnp.reshape(b, (math.prod(b.shape[:count]), -1))
        rows = jnp.reshape(stack, (-1, flat.shape[0]))
        found = lax.dot(rows, flat, precision=precision)
        return jnp.reshape(found, (*stack.shape[:-count], *b.shape[count:]))
    return lax.dot_general(stack, b, ((shifted(over), behind), ((), ())), precision=precision)


def _right(step: Step, stack: Any) -> Any:
    return jax.vmap(lambda x: step.with_operand(x, 1))(spread(stack, step.inputs[1]))


def _both(step: Step, a: Any, b: Any) -> Any:
    return jax.vmap(lambda x, y: step.again([x, y])[0])(a, b)


def _both_summed(step: Step, a: Any, b: Any) -> Any:
    """The sum over the directions is one more axis to contract."""
    (left, right), (one, other) = step.op.params["dimension_numbers"]
    numbers = (((0, *shifted(left)), (0, *shifted(right))), (shifted(one), shifted(other)))
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
        if step.op.params["dimension_numbers"].lhs_spec[0] != 0:
            return vmapped(step, spread(stack, step.inputs[0]))
        return _folded(step, 0, stack)

    return product(_both, left, _right)
