"""A model as a function from one vector to one vector per example, ready for the engines."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import tensorflow as tf

from keras_curvature.engines import chunking
from keras_curvature.engines.activity import Activity, Dependence, NotDifferentiableError
from keras_curvature.engines.columns import by_index, checked_columns
from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.layout import Layout, side_by_side
from keras_curvature.engines.losses import labels_of
from keras_curvature.engines.outputs import output_names, selector
from keras_curvature.engines.tensorflow.activity_analysis import activity_of
from keras_curvature.engines.tensorflow.fingerprint import Same
from keras_curvature.engines.tensorflow.fixed_batch import by_batch
from keras_curvature.engines.tensorflow.graph_ops import needed
from keras_curvature.engines.tensorflow.interpreter import run
from keras_curvature.engines.tensorflow.op_emission import widened
from keras_curvature.engines.tensorflow.side_effects import PYTHON, all_needed
from keras_curvature.engines.tensorflow.tracing import Trace, find_layer, trace
from keras_curvature.engines.wrt import chosen_inputs
from keras_curvature.typing import Columns, Model, Output, Wrt


@dataclass(frozen=True, eq=False)
class FlatFunction:
    """`f(z, rest)`: `z` of shape `(batch, width)` to `(batch, outputs)`.

    Attributes:
        traced: the model's graph.
        source: the tensors of the graph that `z` stands for.
        rest: the tensors of the graph that are given besides `z`; behind them, where the batch is
            fixed, comes the place of each example in it.
        native: the widest float dtype among the model's own inputs and outputs.
        dtype: the dtype of `z` and of the result; narrower floats inside become this one.
        inputs: how the arrays lie in `z`.
        outputs: how the arrays lie in the result.
        activity: what is known of the graph.
        layer: whose output `z` is or is part of, `None` of the model's inputs.
        mended: whether derivatives are mended and narrower floats widened; `False` for the graph
            as TensorFlow has it.
        batch: how many examples the graph takes at a time, if not any number.
    """

    traced: Trace
    source: tuple[tf.Tensor, ...]
    rest: tuple[tf.Tensor, ...]
    native: tf.DType
    dtype: tf.DType
    inputs: Layout
    outputs: Layout
    activity: Activity
    layer: str | None = field(default=None, kw_only=True)
    mended: bool = field(default=True, kw_only=True)
    batch: int | None = field(default=None, kw_only=True)

    def __eq__(self, other: object) -> bool:
        """Whether it computes the same from the same variables."""
        if not isinstance(other, FlatFunction):
            return NotImplemented
        return self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    @functools.cached_property
    def identity(self) -> Hashable:
        """Equal for two functions that compute the same from the same variables.

        Of one trace, or of two of which that is known; by the same inputs, in the same way.
        """
        ops = self.traced.graph.get_operations()
        source = tuple((ops.index(tensor.op), tensor.value_index) for tensor in self.source)
        known = self.traced.identity or Same(self.traced)
        return type(self), known, source, self.dtype, self.mended, self.batch

    def __call__(self, z: tf.Tensor, rest: Sequence[tf.Tensor]) -> tf.Tensor:
        """Emits the model into the current graph."""
        return self.outputs.join(self.apart(z, rest))

    def apart(self, z: tf.Tensor, rest: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The same without laying the outputs side by side."""
        *others, place = rest if self.batch is not None else (*rest, None)
        results = self._run(self.feeds(z, others), self.fetches, place)
        return [tf.cast(result, z.dtype) for result in results]

    def rows_at_once(self, vectors: int = 2) -> int:
        """How many rows fit into memory that carry so many points or directions each.

        Besides the intermediate results, forward and backward.
        """
        numbers = self.activity.activations + vectors * self.inputs.width
        return chunking.rows_at_once(numbers, self.dtype)

    def rows_forward(self) -> int:
        """How many rows with a direction each fit if they go through once, forward."""
        found = self.activity
        return chunking.rows_forward(found.activations, found.widest, self.inputs.width, self.dtype)

    @functools.cached_property
    def is_held(self) -> bool:
        """Whether the outputs depend on more than `z`: on other inputs or columns."""
        held = {tensor.ref() for tensor in self.rest}
        ops = needed(self.fetches, dict.fromkeys(tensor.ref() for tensor in self.source))
        return any(tensor.ref() in held for op in ops for tensor in op.inputs)

    @functools.cached_property
    def narrowest(self) -> tf.DType:
        """The narrowest float dtype that the model itself computes in."""
        outputs = (y.dtype for op in all_needed(self.fetches) for y in op.outputs)
        return min((self.native, *(d for d in outputs if d.is_floating)), key=lambda d: d.size)

    @property
    def input_names(self) -> tuple[str, ...]:
        """One per array in `z`."""
        return self.inputs.names

    @property
    def output_names(self) -> tuple[str, ...]:
        """One per array in the result, `""` if there is but one."""
        return self.outputs.names

    @property
    def fetches(self) -> list[tf.Tensor]:
        """The outputs in the model's graph."""
        return list(keras.tree.flatten(self.traced.outputs))

    def feeds(self, z: tf.Tensor, rest: Sequence[tf.Tensor]) -> dict[Any, tf.Tensor]:
        """What stands for the inputs in the model's graph."""
        feeds = {tensor.ref(): value for tensor, value in zip(self.rest, rest, strict=True)}
        for tensor, value in zip(self.source, self.inputs.split(z), strict=True):
            feeds[tensor.ref()] = tf.cast(value, widened(tensor.dtype, self._narrowest))
        return feeds

    def point(self, leaves: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """The `z` and the `rest` of a batch of the model's inputs."""
        *leaves, place = leaves if self.batch is not None else (*leaves, None)
        given = {
            tensor.ref(): tf.cast(leaf, widened(tensor.dtype, self._narrowest))
            for tensor, leaf in zip(self.traced.inputs, leaves, strict=True)
        }
        places = () if place is None else (place,)
        rest = (*(given[tensor.ref()] for tensor in self.rest), *places)
        if self.traced.tap is None:
            arrays = [given[tensor.ref()] for tensor in self.source]
        else:
            arrays = self._run(given, self.source, place)
        return self.inputs.join([tf.cast(array, self.dtype) for array in arrays]), rest

    @property
    def _narrowest(self) -> tf.DType:
        """The narrowest float dtype inside."""
        return self.dtype if self.mended else tf.float16

    def _run(
        self,
        feeds: Mapping[Any, tf.Tensor],
        fetches: Sequence[tf.Tensor],
        place: tf.Tensor | None,
    ) -> list[tf.Tensor]:
        def compute(given: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            named = dict(zip(feeds, given, strict=True))
            return run(self.traced, named, fetches, self._narrowest, mended=self.mended)

        if place is None:
            return compute(list(feeds.values()))
        signature = [
            tf.TensorSpec([self.batch, *y.shape[1:]], widened(y.dtype, self._narrowest))
            for y in fetches
        ]
        return by_batch(compute, list(feeds.values()), place, signature)


def flatten(
    model: Model,
    inputs: Inputs,
    output: Output,
    wrt: Wrt,
    dtype: tf.DType,
    columns: Columns = None,
) -> FlatFunction:
    """Traces `model` and lays its inputs and outputs flat.

    Raises:
        ValueError: if the output or what to differentiate by is unknown, or if the model
            cannot be differentiated; the message names the op and the layer.
        TypeError: for an integer input, or `output`, `wrt` of a wrong type.
    """
    points = _names_of_points(model, inputs)
    layer = wrt if isinstance(wrt, str) and wrt not in points else None
    layers = _layer_names(model)
    chosen = [] if layer else chosen_inputs(points, wrt, layers, counted=inputs.counted)
    if layer:
        find_layer(model, layer, points)
    tap: str | int | None = layer
    picked = checked_columns(columns)
    if picked is not None:
        names_of = None
        if layer is None:
            tap = _only(chosen, points, picked)
            names_of = inputs.columns[tap]
        picked = by_index(picked, names_of, points)
    selected = selector(model, output)

    def traced_for(batch: int | None) -> Trace:
        specs = [tf.TensorSpec([batch, *spec.shape[1:]], spec.dtype) for spec in inputs.specs]
        return trace(
            model, specs, inputs.structure, selected, tap, columns=picked, masked=inputs.masked
        )

    try:
        traced = traced_for(None)
    except Exception:  # A model that is made for so many may count on a number there.
        if inputs.batch is None:
            raise
        traced = traced_for(inputs.batch)
    # The labels of a loss come behind the points, masks behind both.
    inside = traced.tap
    source = (inside.tensor,) if inside else tuple(traced.inputs[i] for i in chosen)
    names = [layer] if layer else [points[i] for i in chosen]
    _require_floats(source, names)
    _require_numbers(traced.outputs)
    ends = [*source, *keras.tree.flatten(traced.outputs)]
    floats = [tensor.dtype for tensor in ends if tensor.dtype.is_floating]
    native = max(floats, key=lambda float_dtype: float_dtype.size)
    report = activity_of(traced, source, layers)
    _require_differentiable(report)
    return FlatFunction(
        traced=traced,
        source=source,
        rest=tuple(tensor for tensor in traced.inputs if not any(tensor is s for s in source)),
        native=native,
        dtype=widened(native, dtype),
        inputs=replace(
            _layout_of_inputs(model, inputs, wrt, source, names),
            subset=inside.subset if inside else None,
            beside=not layer and len(chosen) < len(points),
        ),
        outputs=side_by_side(
            [_shape(t, "output") for t in keras.tree.flatten(traced.outputs)],
            traced.outputs,
            _names_of_outputs(model, traced.outputs, output),
        ),
        activity=report,
        layer=layer,
    )


def _only(chosen: Sequence[int], names: Sequence[str], columns: Sequence[int | str]) -> int:
    """The input that columns are of."""
    if len(chosen) > 1:
        own = all(column in names for column in columns)
        do = f"These are inputs: `wrt={list(columns)}`" if own else "Choose it with `wrt`"
        raise ValueError(
            f"`columns` are of one input at a time. Received: {list(columns)} of the inputs "
            f"{[names[i] for i in chosen]}. {do}."
        )
    return chosen[0]


def _layout_of_inputs(
    model: Model, inputs: Inputs, wrt: Wrt, source: Sequence[tf.Tensor], names: Sequence[str]
) -> Layout:
    """How what is differentiated by lies and is nested; a list in `wrt` has an order."""
    shapes = tuple(_shape(tensor, "input") for tensor in source)
    if wrt is None:
        structure = inputs.structure[0] if labels_of(model) else inputs.structure
        return side_by_side(shapes, structure, names)
    indexes = 0 if isinstance(wrt, (int, str)) else {name: i for i, name in enumerate(names)}
    return Layout(shapes, indexes, tuple(names))


def _names_of_points(model: Model, inputs: Inputs) -> list[str]:
    """The names of the inputs that are no labels."""
    return list(inputs.names)[: len(inputs.names) - labels_of(model)]


def _names_of_outputs(model: Model, outputs: Any, output: Output) -> tuple[str, ...]:
    leaves = keras.tree.flatten(outputs)
    if len(leaves) == 1:
        return ("",)
    # What a function makes of the outputs may have another order than theirs.
    names = output_names(None if callable(output) else model, outputs, leaves)
    return tuple(names or (f"output_{i}" for i in range(len(leaves))))


def _layer_names(model: Model) -> list[str]:
    if not isinstance(model, keras.Layer):
        return []
    return [layer.name for layer in model._flatten_layers(include_self=False)]


def _require_floats(source: Sequence[tf.Tensor], names: Sequence[str]) -> None:
    for tensor, name in zip(source, names, strict=True):
        if not tensor.dtype.is_floating:
            raise TypeError(
                f"The input {name!r} has dtype {tensor.dtype.name}, which has no derivative. "
                "Give `wrt` the name of a layer with a float output that it goes through, "
                'for token ids the embedding: `wrt="embedding"`, or of a float input beside it.'
            )


def _require_numbers(outputs: Any) -> None:
    for tensor in keras.tree.flatten(outputs):
        if tensor.dtype.is_complex or tensor.dtype == tf.string:
            raise TypeError(
                f"The output must be of real numbers. Received: dtype {tensor.dtype.name}. Of "
                "complex ones take the part that is meant: `output=tf.math.real`."
            )


def _require_differentiable(report: Activity) -> None:
    if report.acting:
        first = report.acting[0]
        raise NotDifferentiableError(
            f"The model calls back into Python ({first}), where no derivative can "
            "be followed. Write this part with `keras.ops` or TensorFlow ops."
            if first.op_type in PYTHON
            else f"The output needs what {first} takes from outside of the model and what is gone "
            "then, so that it could not be looked at without changing what comes next. Hand it to "
            "the model as an input.",
            report.acting,
        )
    if Dependence.UNKNOWN in report.dependence:
        raise NotDifferentiableError(
            f"TensorFlow has no derivative for {_listed(report.unknown)}, which the output depends "
            "on. Replace the op, or choose `wrt` behind it; where 0 is meant, say so with "
            "`tf.stop_gradient`, or with zeros from a gradient written by hand.",
            report.unknown,
        )
    meant = all(place.op_type == "StopGradient" for place in report.cuts)
    if Dependence.CUT in report.dependence and not meant:
        raise NotDifferentiableError(
            "The output depends on the input only through ops without a derivative: "
            f"{_listed(report.cuts)}. Choose `output` before or `wrt` behind them.",
            report.cuts,
        )


def _listed(places: Sequence[Any]) -> str:
    shown = ", ".join(str(place) for place in places[:3])
    return shown + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def _shape(tensor: tf.Tensor, what: str) -> tuple[int, ...]:
    shape = tensor.shape
    if shape.rank is None or shape.rank == 0 or None in shape[1:]:
        raise ValueError(
            f"The model's {what} must have a batch axis and known sizes after it. "
            f"Received: shape {shape} of {tensor.name!r}. "
            + (
                "Give a number for each example: leave the sum or mean over the batch out."
                if shape.rank == 0
                else "Where a raw TensorFlow op loses the shape, set it with `tf.ensure_shape`."
            )
        )
    return tuple(int(size) for size in shape[1:])
