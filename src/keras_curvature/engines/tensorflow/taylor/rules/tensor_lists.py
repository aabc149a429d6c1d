"""Lists of tensors, as loops keep them: the stacks are kept in lists of their own."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_curvature.engines.op_types import EVERY_INPUT, Traits
from keras_curvature.engines.taylor.jets import Base, Jet, sizes, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, never
from keras_curvature.engines.tensorflow import private


def zero_list(values: tf.Tensor, count: int, dtype: tf.DType | None = None) -> tf.Tensor:
    """A list for the stacks of a list's tensors, all 0 as long as nothing is written."""
    made = values.op
    if made.type == "TensorListFromTensor":
        items = made.inputs[0]
        zeros = tf.zeros([sizes(items)[0], count, *sizes(items, 1)], items.dtype)
        return tf.raw_ops.TensorListFromTensor(tensor=zeros, element_shape=tf.shape(zeros)[1:])
    if made.type == "TensorListSetItem":
        held, index, item = made.inputs
        return tf.raw_ops.TensorListSetItem(
            input_handle=zero_list(held, count, item.dtype),
            index=index,
            item=tf.zeros([count, *sizes(item)], item.dtype),
        )
    known = made.type == "TensorListReserve" and made.inputs[0].shape.rank == 1
    return tf.raw_ops.TensorListReserve(
        element_shape=_element_shape(made.inputs[0], count) if known else tf.constant(-1),
        num_elements=tf.raw_ops.TensorListLength(input_handle=values),
        element_dtype=dtype or private.held_dtype(values),
    )


Part = Callable[[Step, tf.Tensor, int], tf.Tensor]


def _reading(part: Part) -> Rule:
    """An op whose result is linear in its first input."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        jet = jets[0]
        if jet is None:
            raise NotImplementedError(step.op.type)
        base = mode.settle(jet).base
        first = part(step, base.first, mode.directions)
        second = None if base.second is None else part(step, base.second, mode.slices)
        return [Jet(step.outputs[0], Base(first, second))]

    return Rule(propagate, Traits(linear_in=EVERY_INPUT), never)


def _from_tensor(step: Step, stack: tf.Tensor, count: int) -> tf.Tensor:
    whole = _swapped(spread(stack, step.inputs[0]))
    return tf.raw_ops.TensorListFromTensor(
        tensor=whole,
        element_shape=tf.concat([[count], step.inputs[1]], axis=0)
        if step.inputs[1].shape.rank
        else tf.shape(whole)[1:],
    )


def _get_item(step: Step, stack: tf.Tensor, count: int) -> tf.Tensor:
    item = tf.raw_ops.TensorListGetItem(
        input_handle=stack,
        index=step.inputs[1],
        element_shape=_element_shape(step.inputs[2], count),
        element_dtype=step.outputs[0].dtype,
    )
    return tf.ensure_shape(item, tf.TensorShape([count]).concatenate(step.outputs[0].shape))


def _stacked(step: Step, stack: tf.Tensor, count: int) -> tf.Tensor:
    found = tf.raw_ops.TensorListStack(
        input_handle=stack,
        element_shape=_element_shape(step.inputs[1], count),
        element_dtype=step.outputs[0].dtype,
        num_elements=step.op.get_attr("num_elements"),
    )
    return tf.ensure_shape(
        _swapped(found), tf.TensorShape([count]).concatenate(step.outputs[0].shape)
    )


def _swapped(tensor: tf.Tensor) -> tf.Tensor:
    """Directions before list items, or the other way round."""
    return tf.transpose(tensor, [1, 0, *range(2, tensor.shape.rank)])


def _element_shape(shape: tf.Tensor, count: int) -> tf.Tensor:
    if not shape.shape.rank:  # -1: unknown
        return shape
    return tf.concat([[count], shape], axis=0)


def _set_item(step: Step, jets: Jets, mode: Mode) -> Jets:
    """`TensorListSetItem`: a list, an index, an item."""
    values, index, item = step.inputs
    bases = [None if jet is None else mode.settle(jet).base for jet in (jets[0], jets[2])]

    def written(held: tf.Tensor | None, stack: tf.Tensor | None, count: int) -> tf.Tensor:
        if held is None:
            held = zero_list(values, count, item.dtype)
        if stack is None:
            stack = tf.zeros([count, *sizes(item)], item.dtype)
        return tf.raw_ops.TensorListSetItem(
            input_handle=held, index=index, item=spread(stack, item)
        )

    firsts = [None if base is None else base.first for base in bases]
    seconds = [None if base is None else base.second for base in bases]
    second = None
    if any(stack is not None for stack in seconds):
        second = written(seconds[0], seconds[1], mode.slices)
    first = written(firsts[0], firsts[1], mode.directions)
    return [Jet(step.outputs[0], Base(first, second))]


def from_tensor() -> Rule:
    """`TensorListFromTensor`."""
    return _reading(_from_tensor)


def get_item() -> Rule:
    """`TensorListGetItem`."""
    return _reading(_get_item)


def set_item() -> Rule:
    """`TensorListSetItem`."""
    return Rule(_set_item, Traits(linear_in=EVERY_INPUT), never)


def stack() -> Rule:
    """`TensorListStack`."""
    return _reading(_stacked)
