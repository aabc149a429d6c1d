"""A model as a function from one vector to one vector per example, ready for the engines."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import tensorflow as tf

from keras_curvature.engines import chunking
from keras_curvature.engines.activity import Activity
from keras_curvature.engines.fingerprint import Same
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
from keras_curvature.engines.layout import Layout, side_by_side
from keras_curvature.engines.outputs import selector
from keras_curvature.engines.tensorflow.activity_analysis import activity_of
from keras_curvature.engines.tensorflow.arrays import widened
from keras_curvature.engines.tensorflow.fixed_batch import by_batch
from keras_curvature.engines.tensorflow.graph_ops import needed
from keras_curvature.engines.tensorflow.interpreter import run
from keras_curvature.engines.tensorflow.side_effects import DRAW, all_needed
from keras_curvature.engines.tensorflow.tracing import Trace, trace
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

    def as_it_is(self) -> FlatFunction:
        """The function op by op as TensorFlow has them: nothing mended or widened."""
        return replace(self, mended=False)

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

    @functools.cached_property
    def draws(self) -> bool:
        """Whether an output needs random numbers."""
        return any("Random" in op.type or op.type == DRAW for op in all_needed(self.fetches))

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
    wanted = wanted_of(model, inputs, wrt, columns)
    selected = selector(model, output)

    def traced_for(batch: int | None) -> Trace:
        specs = [tf.TensorSpec([batch, *spec.shape[1:]], spec.dtype) for spec in inputs.specs]
        return trace(
            model,
            specs,
            inputs.structure,
            selected,
            wanted.tap,
            columns=wanted.columns,
            masked=inputs.masked,
        )

    try:
        traced = traced_for(None)
    except (
        Exception
    ) as error:  # What it calls may count on a number there, if only to know a shape.
        try:
            traced = traced_for(inputs.batch or 1)
        except Exception as of_so_many:
            raise (error if inputs.batch is None else of_so_many) from None
    # The labels of a loss come behind the points, masks behind both.
    inside = traced.tap
    source = (inside.tensor,) if inside else tuple(traced.inputs[i] for i in wanted.chosen)
    require_floats(source, wanted.names)
    require_numbers(traced.outputs)
    ends = [*source, *keras.tree.flatten(traced.outputs)]
    floats = [tensor.dtype for tensor in ends if tensor.dtype.is_floating]
    native = max(floats, key=lambda float_dtype: float_dtype.size)
    report = activity_of(traced, source, layer_names(model))
    require_differentiable(report)
    return FlatFunction(
        traced=traced,
        source=source,
        rest=tuple(tensor for tensor in traced.inputs if not any(tensor is s for s in source)),
        native=native,
        dtype=widened(native, dtype),
        inputs=replace(
            layout_of_inputs(model, inputs, wrt, source, wanted.names),
            subset=inside.subset if inside else None,
            beside=wanted.beside,
        ),
        outputs=side_by_side(
            [shape_of(t, "output") for t in keras.tree.flatten(traced.outputs)],
            traced.outputs,
            names_of_outputs(model, traced.outputs, output),
        ),
        activity=report,
        layer=wanted.layer,
    )
