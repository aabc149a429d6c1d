"""What a `where` does not select must not reach a derivative: 0 times infinity is NaN."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.tensorflow.graph_ops import is_inexact
from keras_curvature.engines.tensorflow.op_patterns import kind

RESHAPING = frozenset({"ExpandDims", "Reshape", "Squeeze"})

SINGULAR = frozenset(
    """
    Acos Acosh Asin Atan2 Atanh BesselI0 BesselI1 Cosh Digamma Div DivNoNan Erfinv Exp Expint Expm1
    FloorMod Lgamma Log Log1p Ndtri Pow RealDiv Reciprocal Rsqrt Sinh Spence Sqrt Xdivy Xlog1py
    Xlogy
    """.split()  # noqa: SIM905, a list of strings would take twenty lines
)
"""Pointwise op types with derivatives that are infinite somewhere, or overflow."""


class Guard(NamedTuple):
    """The `where` in front of an input, for those who differentiate it by a rule.

    Attributes:
        op: the `where` of the traced graph that selects.
        inputs: condition, the input, and what stands for it where it is not selected.
        output: the input that the op is given instead.
    """

    op: tf.Operation
    inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]
    output: tf.Tensor


def guards(
    op: tf.Operation, inputs: Sequence[Any], environment: Mapping[Any, Any]
) -> dict[int, Guard]:
    """By the index of an input, what holds it back where a `where` does not select the result.

    Behind a `where`, the derivative by what it leaves out is 0, and stays so if it meets a finite
    slope. Behind `where(x > 0, sqrt(x), 0)` it meets an infinite one. So each op that leads to the
    `where` and nowhere else is given a number at which it is smooth, at the entries left out.
    """
    if not traits_of(op.type).is_pointwise:
        return {}
    found = _selection(op)
    if found is None or found.condition.ref() not in environment:
        return {}
    mask = environment[found.condition.ref()]
    mask = mask if found.taken else ~mask
    if found.reshaped:
        shapes = [tf.shape(x) for x in inputs]
        mask = tf.reshape(mask, functools.reduce(tf.broadcast_dynamic_shape, shapes))
    held = {}
    for i, (x, source) in enumerate(zip(inputs, op.inputs, strict=True)):
        inside = op.type not in SINGULAR and _selection(source.op) is not None
        if is_inexact(source) and source.op.type != "Const" and not inside:
            smooth = tf.constant(2 if op.type == "Acosh" else 0.5, x.dtype)
            held[i] = Guard(found.op, (mask, x, smooth), tf.where(mask, x, smooth))
    return held


class _Selection(NamedTuple):
    """The `where` that a result leads to, on which side, and whether it is reshaped on the way."""

    op: tf.Operation
    condition: tf.Tensor
    taken: bool
    reshaped: bool


def _selection(op: tf.Operation) -> _Selection | None:
    """What selects the result of an op; `None` where anything else makes use of the result."""
    shape = op.outputs[0].shape if len(op.outputs) == 1 else None
    if shape is None or shape.rank is None:
        return None
    reshaped = spread = False
    while traits_of(op.type).is_pointwise or op.type in RESHAPING:
        consumers = op.outputs[0].consumers()
        if len(consumers) != 1:
            return None
        (user,) = consumers
        sides = [i for i, x in enumerate(user.inputs) if x is op.outputs[0]]
        reshaped = reshaped or op.type in RESHAPING
        if kind(user) == "SelectV2" and len(sides) == 1 and sides[0]:
            condition, side = user.inputs[0], op.outputs[0].shape
            fits = (
                condition.shape.rank is not None
                and side.rank is not None
                and condition.shape.as_list() == side.as_list()
                and not spread
                if reshaped
                else _fits(condition.shape, shape)
            )
            return _Selection(user, condition, sides[0] == 1, reshaped) if fits else None
        spread = spread or _is_spread(op, user)
        op = user
    return None


def _is_spread(op: tf.Operation, user: tf.Operation) -> bool:
    """Whether a pointwise op makes more entries of a result, next to a larger one."""
    if user.type in RESHAPING or len(user.outputs) != 1:
        return False
    before, after = op.outputs[0].shape, user.outputs[0].shape
    return before.rank is None or after.rank is None or before.as_list() != after.as_list()


def _fits(condition: tf.TensorShape, shape: tf.TensorShape) -> bool:
    """Whether a condition is broadcast to a shape and does not exceed it."""
    if condition.rank is None or condition.rank > shape.rank:
        return False
    ends = zip(reversed(condition.as_list()), reversed(shape.as_list()), strict=False)
    return all(one in (1, other) for one, other in ends)
