"""What a model itself gives, to compare with what was made of its trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_curvature.engines.inputs import Inputs, prepare
from keras_curvature.engines.keras_calls import called, unnoticed
from keras_curvature.engines.outputs import selector
from keras_curvature.engines.tensorflow.private import recorded, unobserved, unoptimised
from keras_curvature.engines.tensorflow.side_effects import DRAW, PASSING, acts, all_needed
from keras_curvature.typing import Array, Model, Output, Structure

MOST_EXAMPLES = 64
"""Looked at: enough to tell two functions apart."""

ROUNDING = {"bfloat16": 2**-7, "float16": 2**-10, "float32": 2**-23, "float64": 2**-52}
"""Between 1 and the next number."""

NUDGES = (1e-7, -1e-7, 3e-7)
"""Relative changes of the input, of the size of its rounding in float32."""


class ActsError(RuntimeError):
    """The model cannot be run without doing more than giving its output."""


class NotAsTracedError(ValueError):
    """The model gives other values than what was made of its trace."""


def require_as_traced(model: Model, x: Structure, output: Output, values: Array) -> None:
    """Compares a model's output with values of what was made of its trace.

    The model is called anew, in a graph of its own, of which only what the output is computed
    from runs. What rounding can do to the output is allowed: of the narrowest dtype in the graph,
    and as much as the output changes when the input is changed by its rounding, or where other
    ops come to the same.

    Args:
        model: the model.
        x: the batch.
        output: the caller's option.
        values: the outputs at `x`, laid flat: `(n, outputs)`.

    Raises:
        NotAsTracedError: where they differ.
        ActsError: if they cannot be compared without a side effect of the model.
    """
    inputs = prepare(model, x)
    count = inputs.batch or min(MOST_EXAMPLES, len(values))
    leaves = [tf.convert_to_tensor(leaf)[:count] for leaf in inputs.leaves]
    call, rounding = _own(model, inputs, output, count)
    own, known = call(leaves), np.asarray(values[:count], "float64")
    with unoptimised():  # TensorFlow's optimiser changes what is rounded: (x + c) - c is x
        others = [call(leaves)]
    others += [call(_nudged(leaves, by)) for by in NUDGES]
    with np.errstate(invalid="ignore"):
        conditioned = max(np.nanmax(np.abs(other - own)) for other in others)
        apart = np.abs(own - known)
        allowed = math.sqrt(rounding) * np.nanmax(np.abs(own)) + 30 * conditioned
        wrong = np.isfinite(own) & np.isfinite(known) & (apart > allowed)
    if wrong.any():
        example, place = np.unravel_index(np.argmax(np.where(wrong, apart, 0)), apart.shape)
        raise NotAsTracedError(
            f"The model does not do what it was traced to do: at example {example} of the probe "
            f"its output is {own[example, place]:.6g}, and by the trace "
            f"{known[example, place]:.6g}. Its `call` seems to do something else each time: let "
            "it depend on its inputs, its weights and attributes of its layers only."
        )


def _own(
    model: Model, inputs: Inputs, output: Output, count: int
) -> tuple[Callable[[Sequence[tf.Tensor]], Array], float]:
    """The model's output, flat and in float64, and the rounding of the narrowest dtype in it."""
    selected = selector(model, output)

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
    rounding = max(ROUNDING.get(tensor.dtype.name, 0) for tensor in tensors)

    def run(given: Sequence[tf.Tensor]) -> Array:
        fed = [tf.cast(leaf, spec.dtype) for leaf, spec in zip(given, specs, strict=True)]
        with unobserved():
            found = pruned(*fed)
        return np.concatenate([np.reshape(y, (count, -1)).astype("float64") for y in found], 1)

    return run, rounding


def _nudged(leaves: Sequence[tf.Tensor], by: float) -> list[tf.Tensor]:
    """The floats among the inputs, changed by a little."""
    return [x + tf.cast(by, x.dtype) * x if x.dtype.is_floating else x for x in leaves]
