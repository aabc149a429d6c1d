"""What several ops of a graph are together: functions that TensorFlow or Keras writes in pieces."""

from __future__ import annotations

import re

import numpy as np
import tensorflow as tf

from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.tensorflow import private, ties
from keras_curvature.engines.tensorflow.graph_ops import CALLS, has_custom_gradient


def kind(op: tf.Operation) -> str:
    """The type of an op, or the function that it is the last op of, if that is known."""
    if has_custom_gradient(op):
        return "Swish" if _is_silu(op) else op.type
    if op.type == "Sub" and _is_less_its_largest(op):
        return "x - max(x)"
    if op.type == "RealDiv" and _is_sine_over_argument(op):
        return "sin(x)/x"
    if op.type == "SelectV2" and _is_filled_sinc(op):
        return "sinc(x)"
    if op.type in ties.TURNED and ties.is_turned(op, _everywhere):
        return ties.TURNED[op.type]
    return op.type


def _is_silu(op: tf.Operation) -> bool:
    try:
        gradient = private.registered_gradient(op.get_attr("_gradient_op_type").decode())
    except LookupError:  # read from a file, where only the ops are left
        return False
    return gradient is not None and private.is_gradient_of_silu(gradient)


def _is_sine_over_argument(op: tf.Operation) -> bool:
    sine, x = op.inputs
    return sine.op.type == "Sin" and sine.op.inputs[0] is x


def _is_filled_sinc(op: tf.Operation) -> bool:
    """Whether `op` is the `where(x == 0, 1, sin(c x) / (c x))` of `keras.ops.sinc` and NumPy's."""
    condition, filled, quotient = op.inputs
    if condition.op.type != "Equal" or quotient.op.type != "RealDiv":
        return False
    if not _is_sine_over_argument(quotient.op):
        return False
    x, argument = condition.op.inputs[0], quotient.op.inputs[1].op
    if quotient.op.inputs[1] is x:
        return _everywhere(condition.op.inputs[1]) == 0 and _everywhere(filled) == 1
    scales = [_everywhere(t) for t in argument.inputs] if argument.type == "Mul" else []
    return (
        _everywhere(condition.op.inputs[1]) == 0
        and _everywhere(filled) == 1
        and any(tensor is x for tensor in argument.inputs)
        and any(scale for scale in scales)
    )


def _everywhere(tensor: tf.Tensor) -> float | None:
    """The number that a constant tensor of any shape has in all its entries, if it has one."""
    if tensor.op.type in ("OnesLike", "ZerosLike"):
        return float(tensor.op.type == "OnesLike")
    if tensor.op.type in ("Fill", "Cast"):
        return _everywhere(tensor.op.inputs[tensor.op.type == "Fill"])
    value = tf.get_static_value(tensor)
    if value is None or not value.size or (value != value.flat[0]).any():
        return None
    return float(value.flat[0])


def is_lifted_stop(op: tf.Operation) -> bool:
    """Whether `op` is a `stop_gradient` that passes derivatives on all the same."""
    return is_stopped_mean_of_moments(op) or _is_stopped_maximum_of_exponents(op)


def _is_stopped_maximum_of_exponents(op: tf.Operation) -> bool:
    """Whether `op` is the `stop_gradient` inside `tf.reduce_logsumexp`, or a softmax like it.

    The result does not depend on what is subtracted before the exponential and added behind the
    logarithm, or divided out, so that both ways are right. With the largest entry itself, its own
    exponential is a constant: without, the curvature is the difference of two large numbers.
    """
    maximum = _maximum_of_exponents(op)
    if op.type != "StopGradient" or maximum is None:
        return False
    uses = op.outputs[0].consumers()
    less = [use for use in uses if use.type == "Sub" and use.inputs[0] is maximum.inputs[0]]
    back = [use for use in uses if use not in less]
    exponentials = _uses(less[0]) if len(less) == 1 else []
    if [use.type for use in exponentials] != ["Exp"]:
        return False
    totals = [use for use in _uses(exponentials[0]) if use.type == "Sum"]
    if len(totals) != 1 or not _same_axes(maximum, totals[0]):
        return False
    ends, (last, *more) = _uses(exponentials[0]), [*_uses(totals[0]), None]
    if len(more) != 1 or last is None:
        return False
    if last.type == "Log":
        back = [add for use in back for add in (_uses(use) if use.type == "Reshape" else [use])]
        return len(ends) == 1 and len(back) == 1 and back == _uses(last)
    is_quotient = last.type == "RealDiv" and last.inputs[0].op is exponentials[0]
    return is_quotient and set(ends) == {totals[0], last} and not back


def _maximum_of_exponents(op: tf.Operation) -> tf.Operation | None:
    """The `Max` that is subtracted before exponentials, behind what keeps it finite."""
    if op.type == "StopGradient":
        op = op.inputs[0].op
    if op.type == "SelectV2" and op.inputs[0].op.type == "IsFinite":
        op = op.inputs[1].op
    return op if op.type == "Max" and op.get_attr("keep_dims") else None


def _is_less_its_largest(op: tf.Operation) -> bool:
    """Whether `op` is `x - max(x)`, of which the largest entry is 0 whatever `x` is."""
    less = op.inputs[1].op
    maximum = _maximum_of_exponents(less)
    if maximum is None or maximum.inputs[0] is not op.inputs[0]:
        return False
    return less.type != "StopGradient" or is_lifted_stop(less)


def _uses(op: tf.Operation) -> list[tf.Operation]:
    """The ops that a result goes to; its shape does not count."""
    return [use for use in op.outputs[0].consumers() if not traits_of(use.type).shapes_only]


def is_stopped_mean_of_moments(op: tf.Operation) -> bool:
    """Whether `op` is the `stop_gradient` inside `tf.nn.moments`.

    The variance there is `mean(squared_difference(y, stop_gradient(mean(y))))`. Stopping
    the gradient leaves the first derivative right, since the deviations sum to zero, and
    the second one wrong: it misses the derivative of the mean. LayerNormalization,
    GroupNormalization and `keras.ops.moments` are built on it. A `stop_gradient` in any
    other place is somebody's intention and is not touched.
    """
    if op.type != "StopGradient" or op.inputs[0].op.type != "Mean":
        return False
    mean, uses = op.inputs[0].op, op.outputs[0].consumers()
    spreads = [_is_spread_about(mean, use) for use in uses]
    return any(spreads) and all(
        is_spread or is_of_a_derivative(use) for use, is_spread in zip(uses, spreads, strict=True)
    )


def _is_spread_about(mean: tf.Operation, op: tf.Operation) -> bool:
    """Whether `op` is `(y - mean(y))**2`, only ever averaged over the axes of `mean`."""
    values = mean.inputs[0]
    return (
        op.type == "SquaredDifference"
        and any(x is values for x in op.inputs)
        and all(
            (use.type == "Mean" and _same_axes(mean, use)) or is_of_a_derivative(use)
            for use in op.outputs[0].consumers()
        )
    )


def is_of_a_derivative(op: tf.Operation) -> bool:
    """Whether a model that differentiates its own moments wrote `op` for that.

    The deviations in such an op are those of the spread, and depend on the mean like these. A
    tape writes its ops into scopes of its own, an accumulator calls functions of its own, and
    what a loop's derivative needs is kept in a list.
    """
    if op.type == "TensorListPushBack" or traits_of(op.type).shapes_only:
        return True
    if op.type in CALLS:
        return "jvp" in op.get_attr("f").name
    return any(
        re.fullmatch(r"gradient_tape|gradients(_\d+)?", scope) for scope in op.name.split("/")
    )


def _same_axes(reduction: tf.Operation, other: tf.Operation) -> bool:
    axes = [tf.get_static_value(op.inputs[1]) for op in (reduction, other)]
    return reduction.inputs[1] is other.inputs[1] or (
        all(a is not None for a in axes) and np.array_equal(*axes)
    )
