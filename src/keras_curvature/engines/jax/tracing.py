"""From a Keras model to the flat program of one call of it in inference mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope

from keras_curvature.engines.columns import subset_of
from keras_curvature.engines.jax import arrays
from keras_curvature.engines.jax.compilation import as_the_user_computes
from keras_curvature.engines.jax.jaxprs import flattened
from keras_curvature.engines.jax.weights import as_keras_has_them
from keras_curvature.engines.keras_calls import (
    LIBRARIES,
    called,
    raised_in,
    require_tensors,
    tap_message,
    tapping,
    unnoticed,
)
from keras_curvature.engines.masks import packed
from keras_curvature.engines.programs.trace import SOME, Trace


class _Reading(keras.StatelessScope):
    """Gives variables their values, and notes in `others` which else are read.

    Those of a model that a function or a `Lambda` calls: their values would be constants.
    """

    def __init__(self, variables: Sequence[Any], values: Sequence[Any], others: list[Any]) -> None:
        super().__init__(state_mapping=list(zip(variables, values, strict=True)))
        self._others = others
        self._outside = get_stateless_scope()

    def get_current_value(self, variable: Any) -> Any:
        """The value here, or else in the scope around."""
        found = super().get_current_value(variable)
        if found is None:
            if not any(variable is other for other in self._others):
                self._others.append(variable)
            found = self._outside and self._outside.get_current_value(variable)
        return found


def declared_specs(inputs: Sequence[Any]) -> list[arrays.Spec]:
    """Of a model's symbolic inputs, with some examples."""
    return [arrays.spec((t.shape[0] or SOME, *t.shape[1:]), t.dtype) for t in inputs]


def trace(
    model: Callable[..., Any],
    specs: Sequence[Any],
    structure: Any,
    select: Callable[[Any], Any],
    tap: str | int | None = None,
    *,
    columns: Sequence[int] | None = None,
    masked: Sequence[int] = (),
    training: bool = False,
) -> Trace:
    """Traces `select(model(inputs))`.

    Args:
        model: a Keras model or layer, or any function of an array.
        specs: one per flattened input, and one per mask.
        structure: the inputs' structure, anything in place of the leaves.
        select: applied to the model's output.
        tap: name of a layer, or index of an input some of whose columns are differentiated by.
        columns: of what is tapped; the others are held. `None` for all of a layer's output.
        masked: for each mask, the index of the input that it is of.
        training: the mode in which a Keras model is called.
    """
    variables = list(model.variables) if isinstance(model, keras.Layer) else []
    others: list[Any] = []
    noted: list[Any] = []
    shapes: list[Any] = []

    def tapped(whole: Any, what: str) -> Any:
        if columns is None or not jnp.issubdtype(whole.dtype, jnp.floating):
            noted.append(None)
            taps.append(whole)
            return whole
        subset = subset_of(columns, whole.shape, what)
        chosen = jnp.stack([whole[:, i] for i in subset.indexes], axis=1)
        noted.append(subset)
        taps.append(chosen)
        parts = [whole[:, i] for i in range(subset.count)]
        for place, i in enumerate(subset.indexes):
            parts[i] = chosen[:, place]
        return jnp.stack(parts, axis=1)

    taps: list[Any] = []

    def call(values: Sequence[Any], leaves: Sequence[Any]) -> list[Any]:
        given = list(leaves)
        with _Reading(variables, values, others):
            if isinstance(tap, int):
                given[tap] = tapped(given[tap], "the input")
            inputs = packed(structure, given, masked)
            with tapping(model, tap, lambda y: tapped(y, f"the output of {tap!r}")):
                outputs = select(called(model, inputs, training))
        require_tensors(outputs)
        shapes.append(keras.tree.map_structure(lambda _: None, outputs))
        return [*taps[:1], *map(jnp.asarray, keras.tree.flatten(outputs))]

    abstract = [jax.ShapeDtypeStruct(tuple(s.shape), s.dtype) for s in specs]
    while True:
        weights = [jax.ShapeDtypeStruct(v.value.shape, v.value.dtype) for v in variables]
        with unnoticed(model), as_the_user_computes(), as_keras_has_them():
            try:
                closed = jax.make_jaxpr(call)(weights, abstract)
            except Exception as error:
                _explain(error, model)
                raise
        if not others:
            break
        variables += others
        for found_before in (others, noted, taps, shapes):
            found_before.clear()
    if tap is not None and len(taps) != 1:
        raise ValueError(tap_message(tap, len(taps)))
    program = flattened(closed)
    count = len(variables)
    found = list(program.results)
    inside = found.pop(0) if tap is not None else None
    return Trace(
        program=program,
        weights=program.arguments[:count],
        variables=tuple(variables),
        inputs=program.arguments[count:],
        tap=inside,
        outputs=tuple(found),
        structure=shapes[-1],
        subset=noted[0] if noted else None,
        constants=tuple(closed.consts),
    )


def _explain(error: Exception, model: Callable[..., Any]) -> None:
    """Raises what it means that a model or function could not be traced, where that is known."""
    library = raised_in(error)
    if library or isinstance(error, jax.errors.TracerArrayConversionError):
        where = LIBRARIES[library] if library else "NumPy or to another library than JAX"
        raise TypeError(
            f"{model!r} hands what it is given to {where}, through which no derivative passes. "
            "Write it with `keras.ops` or `jax.numpy`; a model made for TensorFlow is "
            "differentiated with KERAS_BACKEND=tensorflow."
        ) from error
