"""What a graph computes on one example, step by step."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines.activity import Place
from keras_curvature.engines.computed_steps import Computed, ComputedStep
from keras_curvature.engines.tensorflow.activity_analysis import layer_of
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.interpreter import given
from keras_curvature.engines.tensorflow.taylor.tape import OpTape


def computed_steps(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], layers: Sequence[str]
) -> Computed:
    """What `f` does at `z`, one row.

    Args:
        f: the model.
        z: where.
        rest: what is given besides.
        layers: the names of its layers.
    """
    feeds = f.feeds(z, rest)
    # What a `where` leaves out at the example it may take elsewhere in the box.
    tape = OpTape(f.dtype, f.traced.variables, as_given=True)
    values = tape.fetch(given(f.traced, feeds, f.dtype), f.fetches)
    steps = tuple(
        ComputedStep(
            step.op,
            tuple(map(_name, step.inputs)),
            tuple(step.inputs),
            tuple(map(_name, step.outputs)),
            tuple(step.outputs),
            step.again,
            Place(step.op.type, step.op.name, layer_of(step.op.name, layers, f.traced.scopes)),
        )
        for step in tape.steps
    )
    sources = tuple(feeds[tensor.ref()].ref() for tensor in f.source)
    return Computed(steps, sources, tuple(map(_name, values)), tuple(values))


def _name(tensor: Any) -> Hashable | None:
    return tensor.ref() if hasattr(tensor, "ref") else None
