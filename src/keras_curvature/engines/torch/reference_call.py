"""A model's own call, as PyTorch and Keras run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import torch

from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.keras_calls import called, unnoticed
from keras_curvature.engines.torch.arrays import constant, dtype_of, name_of, to_numpy
from keras_curvature.engines.torch.tracing import undisturbed
from keras_curvature.typing import Array, Model


def reference_call(
    model: Model, inputs: Inputs, selected: Callable[[Any], Any], count: int
) -> tuple[Callable[[Sequence[Any]], Array], set[str]]:
    """The model's output, flat and in float64, and the names of all dtypes on the way to it.

    States that the call would change are as before.
    """
    dtypes: set[str] = set()

    class Noting(torch.utils._python_dispatch.TorchDispatchMode):
        """Notes the dtypes of all results."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kw: Any = None) -> Any:
            output = func(*args, **(kw or {}))
            found = torch.utils._pytree.tree_leaves(output)
            dtypes.update(name_of(y.dtype) for y in found if isinstance(y, torch.Tensor))
            return output

    def run(given: Sequence[Any]) -> Array:
        leaves = [
            constant(leaf, dtype_of(spec.dtype))
            for leaf, spec in zip(given, inputs.specs, strict=True)
        ]
        held = [] if not isinstance(model, torch.nn.Module) else list(model.buffers())
        before = [buffer.clone() for buffer in held]
        with undisturbed(), keras.StatelessScope(), unnoticed(model), Noting():
            outputs = selected(called(model, inputs.packed(leaves), training=False))
            outputs = [keras.ops.convert_to_tensor(y) for y in keras.tree.flatten(outputs)]
        with torch.no_grad():
            for buffer, value in zip(held, before, strict=True):
                buffer.copy_(value)
        flat = [np.reshape(to_numpy(y), (count, -1)).astype("float64") for y in outputs]
        return np.concatenate(flat, 1)

    with torch.no_grad():
        run([np.zeros((count, *spec.shape[1:])) for spec in inputs.specs])
    return run, dtypes
