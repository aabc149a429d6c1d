"""From a model to a flat function: traced, its inputs and outputs side by side."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.flattening import (
    layer_names,
    layout_of_inputs,
    names_of_outputs,
    require_differentiable,
    require_floats,
    require_numbers,
    shape_of,
    wanted_of,
)
from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.layout import side_by_side
from keras_curvature.engines.outputs import selector
from keras_curvature.engines.programs import fixed_batch
from keras_curvature.engines.programs.activity_analysis import activity_of
from keras_curvature.engines.programs.trace import SOME, Trace
from keras_curvature.typing import Columns, Model, Output, Wrt

Kept = Callable[[Callable[[Sequence[Any]], Trace], Sequence[Any]], Callable[[int], Trace]]


def with_examples(specs: Sequence[Any], count: int) -> list[Any]:
    """The specs of so many examples."""
    return [xp.spec((count, *s.shape[1:]), s.dtype) for s in specs]


def flattened(
    kind: Any,
    trace: Callable[..., Trace],
    kept: Kept,
    model: Model,
    inputs: Inputs,
    output: Output,
    wrt: Wrt,
    dtype: Any,
    columns: Columns = None,
) -> Any:
    """Traces `model` and lays its inputs and outputs flat.

    Args:
        kind: of function that the backend has.
        trace: of the backend.
        kept: from a function that traces for some specs, and those of the batch, to one that
            traces for a number of examples and keeps what it traced.
        model: as the user gave it.
        inputs: the batch.
        output: the user's option.
        wrt: the user's option.
        dtype: the narrowest one to compute in.
        columns: the user's option.

    Raises:
        ValueError: if the output or what to differentiate by is unknown, or if the model
            cannot be differentiated; the message names the op and the layer.
        TypeError: for an integer input, or `output`, `wrt` of a wrong type.
    """
    wanted = wanted_of(model, inputs, wrt, columns)
    given, structure, masked = inputs.specs, inputs.structure, inputs.masked
    # What is kept for a model must not keep it, nor the batch: they would never go.
    living: Any = weakref.ref(model) if isinstance(model, keras.Layer) else lambda: model

    def traced_with(specs: Sequence[Any]) -> Trace:
        held = living()
        return trace(
            held,
            specs,
            structure,
            selector(held, output),
            wanted.tap,
            columns=wanted.columns,
            masked=masked,
        )

    traced_for = kept(traced_with, given)
    examples = inputs.batch or inputs.leaves[0].shape[0]
    examples = SOME if xp.is_symbol(examples) else examples
    traced = traced_for(examples)
    fixed_batch.require_a_row_each([traced.aval(y) for y in traced.outputs], examples)
    slots = (traced.tap,) if traced.tap is not None else [traced.inputs[i] for i in wanted.chosen]
    source = [traced.aval(slot) for slot in slots]
    outputs = keras.tree.pack_sequence_as(traced.structure, list(map(traced.aval, traced.outputs)))
    require_floats(source, wanted.names)
    require_numbers(outputs)
    leaves = keras.tree.flatten(outputs)
    floats = [x.dtype for x in (*source, *leaves) if xp.is_floating(x.dtype)]
    native = max(floats, key=xp.itemsize)
    report = activity_of(traced, slots, layer_names(model))
    require_differentiable(report)
    return kind(
        traced_for=traced_for,
        examples=examples,
        variables=traced.variables,
        chosen=wanted.chosen,
        native=native,
        dtype=xp.widened(native, dtype),
        inputs=replace(
            layout_of_inputs(model, inputs, wrt, source, wanted.names),
            subset=traced.subset,
            beside=wanted.beside,
        ),
        outputs=side_by_side(
            [shape_of(y, "output") for y in leaves],
            outputs,
            names_of_outputs(model, outputs, output),
        ),
        activity=report,
        layer=wanted.layer,
        constants=traced.constants,
    )
