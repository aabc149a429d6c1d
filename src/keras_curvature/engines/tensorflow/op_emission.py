"""Emits a single op of a traced graph again, on other inputs and in a wider dtype."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.arrays import widened
from keras_curvature.engines.tensorflow.dtype_sensitive_ops import has_own_dtype

NARROWEST = tf.float16
"""In an evaluation in this dtype every op keeps its own."""


def widen(tensor: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Casts a float tensor to `dtype` where that is wider."""
    wide = widened(tensor.dtype, dtype)
    return tensor if wide == tensor.dtype else tf.cast(tensor, wide)


def emit_plainly(op: tf.Operation, inputs: Sequence[Any], dtype: tf.DType) -> list[Any]:
    """Emits one op on new inputs, in `dtype` where the op exists in it."""
    if op.type == "Const" or has_own_dtype(op):
        return emit_in_own_dtype(op, inputs, dtype)
    changed = any(widened(t.dtype, dtype) != t.dtype for t in (*op.inputs, *op.outputs))
    try:
        if not (changed and op.type == "XlaCallModule"):  # which JAX compiled for one dtype
            # Some ops give float32 whatever they are given.
            return [widen(output, dtype) for output in call(op, inputs, dtype)]
    except (TypeError, ValueError, tf.errors.InvalidArgumentError):
        if not changed:
            raise
    warnings.warn(
        f"TensorFlow has no {op.type} in {dtype.name} ({op.name!r}): it is evaluated in its own "
        "dtype, and its rounding limits what comes out.",
        stacklevel=2,
    )
    return emit_in_own_dtype(op, inputs, dtype)


def emit_in_own_dtype(op: tf.Operation, inputs: Sequence[Any], dtype: tf.DType) -> list[Any]:
    """Emits one op in the dtype that it was written in, and widens what comes out."""
    if op.type == "Const":
        value = tf.make_ndarray(op.get_attr("value"))
        return [widen(tf.constant(value, dtype=op.outputs[0].dtype), dtype)]
    narrow = [
        tf.cast(value, tensor.dtype) if value.dtype != tensor.dtype else value
        for value, tensor in zip(inputs, op.inputs, strict=True)
    ]
    return [widen(output, dtype) for output in call(op, narrow, NARROWEST)]


def call(op: tf.Operation, inputs: Sequence[Any], dtype: tf.DType) -> list[Any]:
    """Emits one op on new inputs, with `dtype` for narrower ones among its attributes."""
    function, names = private.raw_op(op.type)
    arguments = {**_input_arguments(op, inputs), **_attribute_arguments(op, dtype)}
    # Some arguments are called otherwise in `raw_ops` (Mean: reduction_indices -> axis);
    # they come in the same order.
    free = iter([name for name in names if name not in arguments])
    renamed = {k if k in names else next(free): v for k, v in arguments.items()}
    return listed(function(**renamed))


def _input_arguments(op: tf.Operation, inputs: Sequence[Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    position = 0
    for argument in op.op_def.input_arg:
        if argument.number_attr or argument.type_list_attr:
            length = (
                op.get_attr(argument.number_attr)
                if argument.number_attr
                else len(op.get_attr(argument.type_list_attr))
            )
            arguments[argument.name] = list(inputs[position : position + length])
            position += length
        else:
            arguments[argument.name] = inputs[position]
            position += 1
    return arguments


def _attribute_arguments(op: tf.Operation, dtype: tf.DType) -> dict[str, Any]:
    inferred = {
        name
        for argument in op.op_def.input_arg
        for name in (argument.type_attr, argument.number_attr, argument.type_list_attr)
    }
    attributes = {}
    for attribute in op.op_def.attr:
        if attribute.name in inferred:
            continue
        value = op.get_attr(attribute.name)
        if attribute.type == "type":
            value = widened(tf.as_dtype(value), dtype)
        elif attribute.type == "list(type)":
            value = [widened(tf.as_dtype(v), dtype) for v in value]
        attributes[attribute.name] = value
    return attributes


def listed(value: Any) -> list[Any]:
    """What a function of TensorFlow returned, as a list of an op's outputs."""
    if isinstance(value, tf.Operation) or value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
