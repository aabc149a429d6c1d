"""What the parts of a network do at the examples: which units switch, which let nothing pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_curvature.diagnosis.activations import Part, batched_inputs
from keras_curvature.diagnosis.subject import Mixed, Subject
from keras_curvature.engines.backend import Interpreter, run
from keras_curvature.typing import Array

CHANGED = 1e-3
"""Change of a unit's own slope, of about 1, from which the unit has switched."""

ZERO = tf.UnconnectedGradients.ZERO


@dataclass(frozen=True)
class State:
    """What the units of one part do at some points.

    Attributes:
        part: which part.
        units: how many it has.
        switching: how many have another slope at one point than at another.
        off: how many let no derivative pass at any of the points.
        blocked: at which points the part lets no derivative pass, while what follows does, `(n,)`.
        flat: at which points all its units have the slope 0, `(n,)`.
        signature: a mixture of the units' slopes, `(n,)`: it jumps where one of them switches.
    """

    part: Part
    units: int
    switching: int
    off: int
    blocked: NDArray[np.bool_]
    flat: NDArray[np.bool_]
    signature: Array


def look(
    s: Subject, f: Mixed, parts: Sequence[Part], z: tf.Tensor, rest: Sequence[tf.Tensor]
) -> list[State]:
    """The states of all parts that can be looked at, at points that fit into memory at once.

    Of a layer in a loop the graph itself may hold the first step only, which says nothing of
    the others: such parts are left out. So are all of a model that takes so many points only.
    """
    visible = tuple(part for part in parts if part.whole and f.batch is None)
    if not visible:
        return []

    # By their places, which the graphs of other models of this architecture have too.
    ops = f.traced.graph.get_operations()
    places = tuple(tuple(ops.index(op) for op in part.ops) for part in visible)

    def compute(z: tf.Tensor, *rest: tf.Tensor) -> dict[str, tf.Tensor]:
        return _inside(f, places, z, rest)

    evaluator = s.bound.evaluator
    tensors = [tf.cast(z, f.dtype), *rest]
    function = evaluator.function(compute, tensors, once=True)
    found = {name: tensor.numpy() for name, tensor in function(*tensors).items()}
    return [
        State(
            part=part,
            units=int(found[f"{i} units"]),
            switching=int(found[f"{i} switching"]),
            off=int(found[f"{i} off"]),
            blocked=found[f"{i} blocked"],
            flat=found[f"{i} flat"],
            signature=found[f"{i} signature"].astype(np.float64),
        )
        for i, part in enumerate(visible)
    ]


def _inside(
    f: Mixed, places: Sequence[Sequence[int]], z: tf.Tensor, rest: Sequence[tf.Tensor]
) -> dict[str, tf.Tensor]:
    outputs, ops = f.fetches, f.traced.graph.get_operations()
    parts = [[ops[i] for i in part] for part in places]
    ends = [t for part in parts for t in (batched_inputs(part[0])[0], part[-1].outputs[0])]
    sources = [t for part in parts for op in part for t in op.inputs]
    with tf.GradientTape() as tape:
        tape.watch(z)
        values = run(f.traced, f.feeds(z, rest), [*outputs, *ends, *sources], f.dtype)
        whole = f.whole.outputs.join([tf.cast(v, z.dtype) for v in values[: len(outputs)]])
        y = tf.reduce_sum(whole @ tf.constant(f.mixing.sum(axis=1, keepdims=True), z.dtype))
    around = values[len(outputs) : len(outputs) + len(ends)]
    signals = tape.gradient(y, around, unconnected_gradients=ZERO)
    given = iter(values[len(outputs) + len(ends) :])
    n = tf.shape(z)[0]
    results: dict[str, tf.Tensor] = {}
    for i, part in enumerate(parts):
        slopes = [
            slope
            for op in part
            for slope in _own_slopes(op, [next(given) for _ in op.inputs], f.dtype, n)
        ]
        into, out_of = (_by_unit(tf.convert_to_tensor(signals[2 * i + j]), n) for j in (0, 1))
        of_part = _summary(into, out_of, slopes)
        results |= {f"{i} {name}": tensor for name, tensor in of_part.items()}
    return results


def _summary(
    into: tf.Tensor, out_of: tf.Tensor, slopes: Sequence[tf.Tensor]
) -> dict[str, tf.Tensor]:
    """From derivatives `(n, places, units)` before and behind a part, and its own slopes."""
    passing = tf.reduce_any(tf.not_equal(into, 0), axis=[1, 2])
    moves = [tf.reduce_any(tf.abs(slope - slope[:1]) > CHANGED, axis=[0, 1]) for slope in slopes]
    return {
        "units": tf.shape(into)[2],
        "switching": tf.reduce_max([tf.reduce_sum(tf.cast(move, tf.int32)) for move in moves]),
        "off": tf.reduce_sum(tf.cast(tf.reduce_all(tf.equal(into, 0), axis=[0, 1]), tf.int32)),
        "blocked": tf.reduce_any(tf.not_equal(out_of, 0), axis=[1, 2]) & ~passing,
        "flat": tf.reduce_all(
            [tf.reduce_all(tf.equal(slope, 0), axis=[1, 2]) for slope in slopes], axis=0
        ),
        "signature": tf.add_n([_mixture(slope, i) for i, slope in enumerate(slopes)]),
    }


def _own_slopes(
    op: tf.Operation, inputs: Sequence[tf.Tensor], dtype: tf.DType, n: tf.Tensor
) -> list[tf.Tensor]:
    """The derivatives of an op's output by what comes in with the batch, `(n, places, units)`."""
    batched = batched_inputs(op)
    watched = [x for x, t in zip(inputs, op.inputs, strict=True) if any(t is b for b in batched)]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        y = Interpreter(dtype, {}).emit(op, inputs, {})[0]
        # Uneven, so that an exchange of two entries, as in sorting, changes the slope.
        size = y.shape[-1] if y.shape.rank > 1 and y.shape[-1] is not None else 1
        total = tf.reduce_sum(y * tf.cast(1 + tf.linspace(0.0, 0.5, size), y.dtype))
    slopes = tape.gradient(total, watched, unconnected_gradients=ZERO)
    return [_by_unit(tf.convert_to_tensor(slope), n) for slope in slopes]


def _by_unit(tensor: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
    """`(n, places, units)`: the last axis holds the units, or the channels."""
    units = tf.shape(tensor)[-1] if tensor.shape.rank > 1 else 1
    return tf.reshape(tensor, [n, -1, units])


def _mixture(slope: tf.Tensor, seed: int) -> tf.Tensor:
    weights = tf.random.stateless_normal(tf.shape(slope)[1:], [seed, 0], dtype=slope.dtype)
    return tf.reduce_sum(slope * weights, axis=[1, 2])
