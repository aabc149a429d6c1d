"""With respect to what a model is differentiated, and whether that can be: whatever traces it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_curvature.engines.activity import (
    CALLING_PYTHON,
    MEANT,
    Activity,
    Dependence,
    NotDifferentiableError,
)
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.columns import by_index, checked_columns
from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.keras_calls import LIBRARIES, find_layer
from keras_curvature.engines.layout import Layout, side_by_side
from keras_curvature.engines.losses import labels_of
from keras_curvature.engines.outputs import output_names
from keras_curvature.engines.wrt import chosen_inputs
from keras_curvature.typing import Columns, Model, Output, Tensor, Wrt


def only_input(chosen: Sequence[int], names: Sequence[str], columns: Sequence[int | str]) -> int:
    """The input that columns are of."""
    if len(chosen) > 1:
        own = all(column in names for column in columns)
        do = f"These are inputs: `wrt={list(columns)}`" if own else "Choose it with `wrt`"
        raise ValueError(
            f"`columns` are of one input at a time. Received: {list(columns)} of the inputs "
            f"{[names[i] for i in chosen]}. {do}."
        )
    return chosen[0]


@dataclass(frozen=True)
class Wanted:
    """With respect to what a model is differentiated.

    Attributes:
        layer: the name of the layer by whose output, or `None`.
        chosen: the indexes of the inputs by which, if no layer's.
        names: of these, or of the layer.
        tap: the layer, or the index of the input some of whose columns these are, or `None`.
        columns: by their indexes, or `None` for all.
        beside: whether the model has other inputs besides.
    """

    layer: str | None
    chosen: tuple[int, ...]
    names: tuple[str, ...]
    tap: str | int | None
    columns: tuple[int, ...] | None
    beside: bool


def wanted_of(model: Model, inputs: Inputs, wrt: Wrt, columns: Columns) -> Wanted:
    """What `wrt` and `columns` say of a model.

    Raises:
        ValueError: for a layer, input or column that is not there.
        TypeError: for arguments of a wrong type.
    """
    points = names_of_points(model, inputs)
    layer = wrt if isinstance(wrt, str) and wrt not in points else None
    layers = layer_names(model)
    chosen = [] if layer else chosen_inputs(points, wrt, layers, counted=inputs.counted)
    if layer:
        find_layer(model, layer, points)
    tap: str | int | None = layer
    picked = checked_columns(columns)
    if picked is not None:
        names_of = None
        if layer is None:
            tap = only_input(chosen, points, picked)
            names_of = inputs.columns[tap]
        picked = by_index(picked, names_of, points)
    names = (layer,) if layer else tuple(points[i] for i in chosen)
    beside = not layer and len(chosen) < len(points)
    return Wanted(layer, tuple(chosen), names, tap, picked, beside)


def layout_of_inputs(
    model: Model, inputs: Inputs, wrt: Wrt, source: Sequence[Tensor], names: Sequence[str]
) -> Layout:
    """How what is differentiated by lies and is nested; a list in `wrt` has an order."""
    shapes = tuple(shape_of(tensor, "input") for tensor in source)
    if wrt is None:
        structure = inputs.structure[0] if labels_of(model) else inputs.structure
        return side_by_side(shapes, structure, names)
    indexes = 0 if isinstance(wrt, (int, str)) else {name: i for i, name in enumerate(names)}
    return Layout(shapes, indexes, tuple(names))


def names_of_points(model: Model, inputs: Inputs) -> list[str]:
    """The names of the inputs that are no labels."""
    return list(inputs.names)[: len(inputs.names) - labels_of(model)]


def names_of_outputs(model: Model, outputs: Any, output: Output) -> tuple[str, ...]:
    """One per output; `""` for the only one."""
    leaves = keras.tree.flatten(outputs)
    if len(leaves) == 1:
        return ("",)
    # What a function makes of the outputs may have another order than theirs.
    names = output_names(None if callable(output) else model, outputs, leaves)
    return tuple(names or (f"output_{i}" for i in range(len(leaves))))


def layer_names(model: Model) -> list[str]:
    """The names of the layers inside of a model."""
    if not isinstance(model, keras.Layer):
        return []
    return [layer.name for layer in model._flatten_layers(include_self=False)]


def require_floats(source: Sequence[Tensor], names: Sequence[str]) -> None:
    """Raises TypeError for what has no derivative by its dtype."""
    for tensor, name in zip(source, names, strict=True):
        if not xp.is_floating(tensor.dtype):
            raise TypeError(
                f"The input {name!r} has dtype {xp.name_of(tensor.dtype)}, which has no "
                "derivative. Give `wrt` the name of a layer with a float output that it goes "
                'through, for token ids the embedding: `wrt="embedding"`, or of a float input '
                "beside it."
            )


def require_numbers(outputs: Any) -> None:
    """Raises TypeError for outputs that are no real numbers."""
    for tensor in keras.tree.flatten(outputs):
        if not xp.is_real(tensor.dtype):
            raise TypeError(
                f"The output must be of real numbers. Received: dtype {xp.name_of(tensor.dtype)}. "
                "Of complex ones take the part that is meant: `output=keras.ops.real`."
            )


def require_differentiable(report: Activity) -> None:
    """Raises NotDifferentiableError where no derivative reaches the outputs."""
    if report.acting:
        first = report.acting[0]
        raise NotDifferentiableError(
            f"The model calls back into Python ({first}), where no derivative can "
            "be followed. Write this part with `keras.ops` or the backend's own."
            if first.op_type in CALLING_PYTHON
            else f"The output needs what {first} takes from outside of the model and what is gone "
            "then, so that it could not be looked at without changing what comes next. Hand it to "
            "the model as an input.",
            report.acting,
        )
    if Dependence.UNKNOWN in report.dependence:
        raise NotDifferentiableError(
            f"{LIBRARIES[keras.config.backend()]} has no derivative for "
            f"{_listed(report.unknown)}, which the output depends on. Replace the op, or choose "
            "`wrt` behind it; where 0 is meant, say so with `keras.ops.stop_gradient`, or with "
            "zeros from a gradient written by hand.",
            report.unknown,
        )
    meant = all(place.op_type in MEANT for place in report.cuts)
    if Dependence.CUT in report.dependence and not meant:
        raise NotDifferentiableError(
            "The output depends on the input only through ops without a derivative: "
            f"{_listed(report.cuts)}. Choose `output` before or `wrt` behind them.",
            report.cuts,
        )


def _listed(places: Sequence[Any]) -> str:
    shown = ", ".join(str(place) for place in places[:3])
    return shown + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def shape_of(tensor: Tensor, what: str) -> tuple[int, ...]:
    """The shape of an input or output without the batch; raises ValueError if it is unknown."""
    shape, rank = tensor.shape, tensor.ndim
    if rank < 1 or None in shape[1:]:  # TensorFlow says -1 where it does not know
        raise ValueError(
            f"The model's {what} must have a batch axis and known sizes after it. "
            f"Received: shape {shape}. "
            + (
                "Where a raw TensorFlow op loses the shape, set it with `tf.ensure_shape`."
                if rank
                else "Give a number for each example: leave the sum or mean over the batch out."
            )
        )
    return tuple(int(size) for size in shape[1:])
