"""Products of matrices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Base, Jet, lift, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import product


def _flags(step: Step) -> dict[str, bool]:
    op = step.op
    if op.type == "MatMul":
        return {name: op.get_attr(name) for name in ("transpose_a", "transpose_b")}
    return {"adjoint_a": op.get_attr("adj_x"), "adjoint_b": op.get_attr("adj_y")}


def _flipped(flags: dict[str, bool], side: str) -> bool:
    return any(flag for name, flag in flags.items() if name.endswith(side))


def _left(step: Step, stack: tf.Tensor) -> tf.Tensor:
    a, b = step.inputs
    flags = _flags(step)
    if b.shape.rank == 2 and not _flipped(flags, "_a"):  # one product of large matrices
        rows = tf.reshape(stack, [-1, stack.shape[-1] or tf.shape(stack)[-1]])
        found = tf.matmul(rows, b, **{k: v for k, v in flags.items() if k.endswith("_b")})
        return _rows_back(found, stack)
    if a.shape.rank == 2:
        stack = spread(stack, a)
    return tf.matmul(lift(stack, max(a.shape.rank, b.shape.rank)), b, **flags)


def _rows_back(found: tf.Tensor, stack: tf.Tensor) -> tf.Tensor:
    known = stack.shape[:-1].as_list()
    if known.count(None) <= 1:
        lengths: list[Any] = [-1 if size is None else size for size in known]
        return tf.reshape(found, [*lengths, found.shape[-1] or tf.shape(found)[-1]])
    return tf.reshape(found, tf.concat([tf.shape(stack)[:-1], tf.shape(found)[-1:]], axis=0))


def _right(step: Step, stack: tf.Tensor) -> tf.Tensor:
    a, b = step.inputs
    if b.shape.rank == 2:
        stack = spread(stack, b)
    return tf.matmul(a, lift(stack, max(a.shape.rank, b.shape.rank)), **_flags(step))


def _both(step: Step, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    rank = max(a.shape.rank, b.shape.rank) - 1
    return tf.matmul(lift(a, rank), lift(b, rank), **_flags(step))


def matrix_product() -> Rule:
    """`MatMul` and `BatchMatMul`."""
    plain = product(_both, _left, _right)

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        a, b = jets
        flipped = _flipped(_flags(step), "_a") or _flipped(_flags(step), "_b")
        if b is None and a is not None and not flipped and _is_identity(a):
            return [Jet(step.outputs[0], Base(step.inputs[1][:, None]))]
        return plain.propagate(step, jets, mode)

    return replace(plain, propagate=propagate)


def _is_identity(jet: Jet) -> bool:
    return isinstance(jet.of, Base) and jet.of.is_identity
