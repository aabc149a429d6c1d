"""Ops that do more than give a result, and what stands for those whose result is needed.

A model is looked at without being called: of its trace only those ops are run that its output is
computed from. Of what is assigned, printed, counted or written on the way nothing is then left.
Some ops do both at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.activity import CALLING_PYTHON
from keras_curvature.engines.tensorflow.graph_ops import functions_of, needed

TAKING = (
    "IteratorGetNext",
    "MapUnstage",
    "MultiDeviceIteratorGetNext",
    "OrderedMapUnstage",
    "QueueDequeue",
    "ReaderRead",
    "ResourceAccumulatorTakeGradient",
    "ResourceCountUpTo",
    "StatefulRandomBinomial",
    "StatefulStandardNormal",
    "StatefulTruncatedNormal",
    "StatefulUniform",
    "Unstage",
)
"""How ops begin that take from outside what is then gone."""

PASSING = {"CheckNumerics", "CheckNumericsV2", "DebugIdentityV2", "DebugIdentityV3", "Print"}
"""Ops that hand their first input on and write it somewhere, or fail for all examples because of
one, as in `keras.ops.cholesky`."""

DRAW = "RngReadAndSkip"
"""The op by which a `tf.random.Generator` draws: it gives its state and advances it."""

APART = 2**40
"""Numbers between two draws from one generator in a call."""


def all_needed(fetches: Sequence[tf.Tensor]) -> Iterator[tf.Operation]:
    """The ops that `fetches` are computed from, those inside functions too."""
    for op in needed(fetches):
        yield op
        for body in functions_of(op):
            yield from all_needed(body.outputs)


def acts(op: tf.Operation) -> bool:
    """Whether an op cannot give its result without doing something else."""
    return op.type in CALLING_PYTHON or op.type.startswith(TAKING)


def without_effect(op: tf.Operation, inputs: Sequence[Any]) -> list[Any] | None:
    """What stands for the outputs of an op that also does something; `None` if it does not."""
    if op.type in PASSING:
        return [inputs[0]]
    if op.type == DRAW:
        return [_undrawn(op, inputs[0])]
    return None


def _undrawn(op: tf.Operation, handle: Any) -> tf.Tensor:
    """The state that a generator has now, as many draws further as the call has made before."""
    state = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.int64)
    padded = tf.concat([state, tf.zeros([3], tf.int64)], axis=0)[:3]
    draws = [other for other in op.inputs[0].consumers() if other.type == DRAW]
    return padded + tf.constant([APART * draws.index(op), 0, 0], tf.int64)
