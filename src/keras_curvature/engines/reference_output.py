"""What a model itself gives, to compare with what was made of its trace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.inputs import prepare
from keras_curvature.engines.outputs import selector
from keras_curvature.typing import Array, Model, Output, Structure

compilation = own_module("compilation")

MOST_EXAMPLES = 64
"""Looked at: enough to tell two functions apart."""

ROUNDING = {"bfloat16": 2**-7, "float16": 2**-10, "float32": 2**-23, "float64": 2**-52}
"""Between 1 and the next number."""

NUDGES = (1e-7, -1e-7, 3e-7)
"""Relative changes of the input, of the size of its rounding in float32."""


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
    leaves = [xp.to_numpy(leaf[:count]) for leaf in inputs.leaves]
    reference_call = own_module("reference_call").reference_call
    call, dtypes = reference_call(model, inputs, selector(model, output), count)
    rounding = max(ROUNDING.get(dtype, 0) for dtype in dtypes)
    own, again, known = call(leaves), call(leaves), np.asarray(values[:count], "float64")
    # TensorFlow's optimiser, for one, changes what is rounded: (x + c) - c is x.
    with compilation.rounding_otherwise():
        others = [call(leaves)]
    others += [call(_nudged(leaves, by)) for by in NUDGES]
    with np.errstate(invalid="ignore"):
        conditioned = max(np.nanmax(np.abs(other - own)) for other in others)
        apart = np.abs(own - known)
        least = math.sqrt(rounding) * np.nanmax(np.abs(own))
        drifts = np.nanmax(np.abs(again - own)) > least
        allowed = least if drifts else least + 30 * conditioned
        wrong = np.isfinite(own) & np.isfinite(known) & (apart > allowed)
    if wrong.any():
        example, place = np.unravel_index(np.argmax(np.where(wrong, apart, 0)), apart.shape)
        raise NotAsTracedError(
            f"The model does not do what it was traced to do: at example {example} of the probe "
            f"its output is {own[example, place]:.6g}, and by the trace "
            f"{known[example, place]:.6g}. Its `call` seems to do something else each time: let "
            "it depend on its inputs, its weights and attributes of its layers only."
        )


def _nudged(leaves: Sequence[Any], by: float) -> list[Any]:
    """The floats among the inputs, changed by a little."""
    floats = [xp.is_floating(xp.dtype_of(x.dtype)) for x in leaves]
    return [
        x + x.dtype.type(by) * x if is_float else x
        for x, is_float in zip(leaves, floats, strict=True)
    ]
