"""A model's own call, in a graph of which only what its output is computed from runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.keras_calls import ActsError, called, unnoticed
from keras_curvature.engines.tensorflow.private import recorded, unobserved
from keras_curvature.engines.tensorflow.side_effects import DRAW, PASSING, acts, all_needed
from keras_curvature.typing import Array, Model


def reference_call(
    model: Model, inputs: Inputs, selected: Callable[[Any], Any], count: int
) -> tuple[Callable[[Sequence[tf.Tensor]], Array], set[str]]:
    """The model's output, flat and in float64, and the names of all dtypes on the way to it.

    Raises:
        ActsError: if it cannot be run without a side effect of the model.
    """

    def call(*leaves: tf.Tensor) -> list[tf.Tensor]:
        outputs = selected(called(model, inputs.packed(leaves), training=False))
        return list(keras.tree.flatten(outputs))

    specs = [tf.TensorSpec([count, *s.shape[1:]], s.dtype) for s in inputs.specs]
    with tf.init_scope(), recorded(), unnoticed(model), unobserved():
        whole = tf.compat.v1.wrap_function(call, specs)
    for op in all_needed(whole.outputs):
        if acts(op) or op.type in PASSING or op.type == DRAW:
            raise ActsError(f"to run it would be noticed, by {op.type} in {op.name!r}")
    pruned = whole.prune(whole.inputs[: len(specs)], whole.outputs)
    tensors = [tensor for op in pruned.graph.get_operations() for tensor in op.outputs]

    def run(given: Sequence[tf.Tensor]) -> Array:
        fed = [tf.cast(leaf, spec.dtype) for leaf, spec in zip(given, specs, strict=True)]
        with unobserved():
            found = pruned(*fed)
        return np.concatenate([np.reshape(y, (count, -1)).astype("float64") for y in found], 1)

    return run, {tensor.dtype.name for tensor in tensors}
