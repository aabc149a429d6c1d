"""Looks into a traced model while it runs: values of ops, gradients by them, their own slopes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import tensorflow as tf

from keras_curvature.engines.activity import Dependence, Place
from keras_curvature.engines.intermediates import Inside, Result, Watched
from keras_curvature.engines.tensorflow.activity_analysis import activity_of
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.interpreter import Interpreter, run
from keras_curvature.typing import Array

ZERO = tf.UnconnectedGradients.ZERO


def dependence_by_input(f: FlatFunction) -> list[tuple[Dependence, ...]]:
    """How the outputs depend on each of the arrays in `z`."""
    return [activity_of(f.traced, [tensor], ()).dependence for tensor in f.source]


def watched(f: FlatFunction, places: Iterable[Place]) -> dict[Place, tuple[Watched, ...]]:
    """The ops at some places that can be looked at.

    Their keys are their numbers, which the graphs of other models of this architecture have too.
    """
    ops = {op.name: (i, op) for i, op in enumerate(f.traced.graph.get_operations())}
    found: dict[Place, tuple[Watched, ...]] = {}
    for place in places:
        i, op = ops.get(place.op_name, (0, None))
        operands = _operands(op) if op is not None and op.type == place.op_type else []
        found[place] = (Watched(i, len(operands)),) if operands else ()
    return found


def _operands(op: tf.Operation) -> list[tf.Tensor]:
    """The inputs of an op that hold the examples and carry a derivative."""
    return [t for t in op.inputs if t.shape.rank and t.shape[0] is None and t.dtype.is_floating]


def inside(
    f: FlatFunction,
    keys: Sequence[Sequence[int]],
    z: tf.Tensor,
    rest: Sequence[tf.Tensor],
    weights: Array,
) -> list[Inside]:
    """Derivatives around parts of a model.

    Args:
        f: the model.
        keys: of the ops of each part.
        z: points.
        rest: the other inputs.
        weights: of each output, `(m, 1)`: their sum is differentiated.
    """
    outputs, ops = f.fetches, f.traced.graph.get_operations()
    parts = [[ops[i] for i in part] for part in keys]
    ends = [t for part in parts for t in (_operands(part[0])[0], part[-1].outputs[0])]
    sources = [t for part in parts for op in part for t in op.inputs]
    with tf.GradientTape() as tape:
        tape.watch(z)
        values = run(f.traced, f.feeds(z, rest), [*outputs, *ends, *sources], f.dtype)
        whole = f.outputs.join([tf.cast(v, z.dtype) for v in values[: len(outputs)]])
        y = tf.reduce_sum(whole @ tf.constant(weights, z.dtype))
    around = values[len(outputs) : len(outputs) + len(ends)]
    signals = tape.gradient(y, around, unconnected_gradients=ZERO)
    given = iter(values[len(outputs) + len(ends) :])
    results = []
    for i, part in enumerate(parts):
        slopes = [
            slope for op in part for slope in _slopes(op, [next(given) for _ in op.inputs], f.dtype)
        ]
        into, out_of = (tf.convert_to_tensor(signals[2 * i + j]) for j in (0, 1))
        results.append(Inside(into, out_of, slopes))
    return results


def _slopes(op: tf.Operation, inputs: Sequence[tf.Tensor], dtype: tf.DType) -> list[tf.Tensor]:
    """The derivatives of an op's output by its operands."""
    operands = _operands(op)
    own = [x for x, t in zip(inputs, op.inputs, strict=True) if any(t is o for o in operands)]
    with tf.GradientTape() as tape:
        tape.watch(own)
        y = Interpreter(dtype, {}).emit(op, inputs, {})[0]
        # Uneven, so that an exchange of two entries, as in sorting, changes the slope.
        size = y.shape[-1] if y.shape.rank > 1 and y.shape[-1] is not None else 1
        total = tf.reduce_sum(y * tf.cast(1 + tf.linspace(0.0, 0.5, size), y.dtype))
    return list(map(tf.convert_to_tensor, tape.gradient(total, own, unconnected_gradients=ZERO)))


def results_of(f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor]) -> list[Result]:
    """What the active ops of a model have given, in their order."""
    graph = f.traced.graph
    names = {op.name for op in graph.get_operations()}
    seen = [
        (p, graph.get_operation_by_name(p.op_name)) for p in f.activity.active if p.op_name in names
    ]
    seen = [(place, op) for place, op in seen if op.outputs[0].dtype.is_floating]
    fetches = [op.outputs[0] for _, op in seen]
    with tf.GradientTape() as tape:
        tape.watch(z)
        values = run(f.traced, f.feeds(z, rest), [*fetches, *f.fetches], f.dtype)
    gradients = tape.gradient(values[len(seen) :], values[: len(seen)])
    order = {op.name: i for i, (_, op) in enumerate(seen)}
    return [
        Result(place, value, gradient, tuple({order.get(t.op.name, -1) for t in op.inputs} - {-1}))
        for (place, op), value, gradient in zip(seen, values, gradients, strict=False)
    ]


def narrow(f: FlatFunction) -> tuple[Place, ...]:
    """The active ops that compute in a narrower dtype than the model's; casts do not count."""
    ops = {op.name: op for op in f.traced.graph.get_operations() if op.type != "Cast"}
    pairs = ((place, ops.get(place.op_name)) for place in f.activity.active)
    return tuple(place for place, op in pairs if op is not None and _is_narrow(op, f.native))


def _is_narrow(op: tf.Operation, native: tf.DType) -> bool:
    return any(t.dtype.is_floating and t.dtype.size < native.size for t in op.outputs)
