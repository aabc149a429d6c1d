"""A model's own call, traced anew, as JAX and Keras run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.jax.compilation import as_the_user_computes
from keras_curvature.engines.jax.jaxprs import flattened
from keras_curvature.engines.keras_calls import ActsError, called, unnoticed
from keras_curvature.typing import Array, Model


def reference_call(
    model: Model, inputs: Inputs, selected: Callable[[Any], Any], count: int
) -> tuple[Callable[[Sequence[Any]], Array], set[str]]:
    """The model's output, flat and in float64, and the names of all dtypes on the way to it.

    Raises:
        ActsError: if it cannot be run without a side effect of the model.
    """
    variables = list(model.variables) if isinstance(model, keras.Layer) else []

    def call(values: Sequence[Any], leaves: Sequence[Any]) -> list[Any]:
        state = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=state), unnoticed(model):
            outputs = selected(called(model, inputs.packed(leaves), training=False))
        return list(map(jnp.asarray, keras.tree.flatten(outputs)))

    with as_the_user_computes():
        specs = [
            jax.ShapeDtypeStruct((count, *s.shape[1:]), jax.dtypes.canonicalize_dtype(s.dtype))
            for s in inputs.specs
        ]
        closed = jax.make_jaxpr(call)([v.value for v in variables], specs)
        if closed.effects:
            noticed = ", ".join(sorted(type(effect).__name__ for effect in closed.effects))
            raise ActsError(f"to run it would be noticed: {noticed}")
        compiled = jax.jit(jax.extend.core.jaxpr_as_fun(closed))

    def run(given: Sequence[Any]) -> Array:
        with as_the_user_computes():
            fed = [jnp.asarray(leaf, s.dtype) for leaf, s in zip(given, specs, strict=True)]
            found = compiled(*(v.value for v in variables), *fed)
        return np.concatenate([np.reshape(y, (count, -1)).astype("float64") for y in found], 1)

    return run, {aval.dtype.name for aval in flattened(closed).avals.values()}
