"""What a `where` does not select must not reach a derivative: 0 times infinity is NaN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.tensorflow.gradient_overrides import kind
from keras_curvature.engines.tensorflow.graph_ops import is_inexact


def guarded(op: tf.Operation, inputs: Sequence[Any], environment: Mapping[Any, Any]) -> Any:
    """The inputs of an op with derivatives at those entries only that a `where` selects.

    Behind a `where`, the derivative by what it leaves out is 0, and stays so if it meets a finite
    slope. Behind `where(x > 0, sqrt(x), 0)` it meets an infinite one. Held back in front of the
    ops that lead to the `where` and nowhere else, the values stay what they are.
    """
    if not traits_of(op.type).is_pointwise:
        return inputs
    found = _selection(op)
    if found is None:
        return inputs
    condition, taken = found
    mask = environment.get(condition.ref())
    if mask is None:
        return inputs
    mask = mask if taken else ~mask
    return [
        tf.where(mask, x, tf.stop_gradient(x))
        if is_inexact(source) and _selection(source.op) is None
        else x
        for x, source in zip(inputs, op.inputs, strict=True)
    ]


def _selection(op: tf.Operation) -> tuple[tf.Tensor, bool] | None:
    """The condition under which a `where` selects the result of `op`, and on which side it is.

    `None` where anything else makes use of the result.
    """
    shape = op.outputs[0].shape if len(op.outputs) == 1 else None
    if shape is None or shape.rank is None:
        return None
    while traits_of(op.type).is_pointwise:
        consumers = op.outputs[0].consumers()
        if len(consumers) != 1:
            return None
        (user,) = consumers
        sides = [i for i, x in enumerate(user.inputs) if x is op.outputs[0]]
        if kind(user) == "SelectV2" and len(sides) == 1 and sides[0]:
            fits = _fits(user.inputs[0].shape, shape)
            return (user.inputs[0], sides[0] == 1) if fits else None
        op = user
    return None


def _fits(condition: tf.TensorShape, shape: tf.TensorShape) -> bool:
    """Whether a condition is broadcast to a shape and does not exceed it."""
    if condition.rank is None or condition.rank > shape.rank:
        return False
    ends = zip(reversed(condition.as_list()), reversed(shape.as_list()), strict=False)
    return all(one in (1, other) for one, other in ends)
