"""A model as a function from one vector to one vector per example, ready for the engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from keras_curvature.engines.audit import Audit, Dependence, Place, audit
from keras_curvature.engines.classes import OF_A_CLASSIFIER
from keras_curvature.engines.emitting import widened
from keras_curvature.engines.fixed_batch import by_batch
from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.layout import Layout
from keras_curvature.engines.losses import LOSS, labels_of
from keras_curvature.engines.side_effects import PYTHON
from keras_curvature.engines.tracing import Trace, find_layer, trace
from keras_curvature.engines.walker import run
from keras_curvature.typing import Model, Output, Wrt


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
        audit: what is known of the graph.
        input_names: one per array in `z`.
        output_names: one per array in the result, `""` if there is but one.
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
    audit: Audit
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    mended: bool = field(default=True, kw_only=True)
    batch: int | None = field(default=None, kw_only=True)

    def __call__(self, z: tf.Tensor, rest: Sequence[tf.Tensor]) -> tf.Tensor:
        """Emits the model into the current graph."""
        return self.outputs.join(self.apart(z, rest))

    def apart(self, z: tf.Tensor, rest: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The same without laying the outputs side by side."""
        *others, place = rest if self.batch is not None else (*rest, None)
        results = self._run(self.feeds(z, others), self.fetches, place)
        return [tf.cast(result, z.dtype) for result in results]

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
        if self.traced.tapped is None:
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


class NotDifferentiableError(ValueError):
    """The output has no derivative.

    Attributes:
        places: the ops that are in the way.
    """

    def __init__(self, message: str, places: Sequence[Place]) -> None:
        super().__init__(message)
        self.places = tuple(places)


def flatten(
    model: Model, inputs: Inputs, output: Output, wrt: Wrt, dtype: tf.DType
) -> FlatFunction:
    """Traces `model` and lays its inputs and outputs flat.

    Raises:
        ValueError: if the output or what to differentiate by is unknown, or if the model
            cannot be differentiated; the message names the op and the layer.
        TypeError: for an integer input, or `output`, `wrt` of a wrong type.
    """
    chosen = _chosen_input(model, inputs, wrt)
    tap = wrt if isinstance(wrt, str) and chosen is None else None
    selected = selector(model, output)

    def traced_for(batch: int | None) -> Trace:
        specs = [tf.TensorSpec([batch, *spec.shape[1:]], spec.dtype) for spec in inputs.specs]
        return trace(model, specs, inputs.structure, selected, tap, masked=inputs.masked)

    try:
        traced = traced_for(None)
    except Exception:  # A model that is made for so many may count on a number there.
        if inputs.batch is None:
            raise
        traced = traced_for(inputs.batch)
    if traced.tapped is not None:
        source, structure = (traced.tapped,), None
    elif chosen is not None:
        source, structure = (traced.inputs[chosen],), None
    else:
        # The labels of a loss come behind the points, masks behind both.
        labels = labels_of(model)
        source = traced.inputs[: len(inputs.names) - labels]
        structure = inputs.structure[0] if labels else inputs.structure
    points = _names_of_points(model, inputs)
    names = [tap] if tap else [points[chosen]] if chosen is not None else points
    _require_floats(source, names)
    _require_numbers(traced.outputs)
    ends = [*source, *keras.tree.flatten(traced.outputs)]
    floats = [tensor.dtype for tensor in ends if tensor.dtype.is_floating]
    native = max(floats, key=lambda float_dtype: float_dtype.size)
    report = audit(traced, source, _layer_names(model))
    _require_differentiable(report)
    return FlatFunction(
        traced=traced,
        source=source,
        rest=tuple(tensor for tensor in traced.inputs if not any(tensor is s for s in source)),
        native=native,
        dtype=widened(native, dtype),
        inputs=Layout(tuple(_shape(t, "input") for t in source), structure),
        outputs=Layout(
            tuple(_shape(t, "output") for t in keras.tree.flatten(traced.outputs)),
            keras.tree.map_structure(lambda _: None, traced.outputs),
        ),
        audit=report,
        input_names=tuple(names),
        output_names=_names_of_outputs(model, traced.outputs),
    )


def _chosen_input(model: Model, inputs: Inputs, wrt: Wrt) -> int | None:
    """The index of the one input to differentiate by; `None` for all, or for a layer."""
    if wrt is None:
        return None
    if isinstance(wrt, bool) or not isinstance(wrt, (int, str)):
        raise TypeError(
            "`wrt` must be None, the index or name of an input, or the name of a layer. "
            f"Received: {wrt!r}."
        )
    names = _names_of_points(model, inputs)
    if isinstance(wrt, str):
        if wrt in names:
            return names.index(wrt)
        find_layer(model, wrt)
        return None
    if not -len(names) <= wrt < len(names):
        raise ValueError(
            f"`wrt` must be an index into the model's {len(names)} input(s) {names}. "
            f"Received: {wrt}."
        )
    return wrt % len(names)


def _names_of_points(model: Model, inputs: Inputs) -> list[str]:
    """The names of the inputs that are no labels."""
    return list(inputs.names)[: len(inputs.names) - labels_of(model)]


def selector(model: Model, output: Output) -> Callable[[Any], Any]:
    """What to apply to the model's output so that only the wanted part is left."""
    if output is None:
        return lambda outputs: outputs
    if callable(output):
        return output
    if isinstance(output, bool) or not isinstance(output, (int, str)):
        raise TypeError(
            "`output` must be None, an int, the name of an output, 'predicted', 'margin', or a "
            f"function of the model's output. Received: {output!r}."
        )
    return lambda outputs: _selected(model, outputs, output)


def _selected(model: Model, outputs: Any, output: int | str) -> Any:
    leaves = keras.tree.flatten(outputs)
    several = len(leaves) > 1 or isinstance(outputs, (dict, list, tuple))
    if isinstance(output, str):
        names = _output_names(model, outputs, leaves)
        if output in names:
            return leaves[names.index(output)]
        if output in OF_A_CLASSIFIER:
            return OF_A_CLASSIFIER[output](_scores(output, leaves))
        if output == LOSS:
            raise ValueError(
                "`output='loss'` needs labels, which the monitor takes from its probe (x, y). "
                "Elsewhere differentiate a function of x and y: `kc.laplacian(lambda given: "
                "loss(given['y'], model(given['x']))[:, None], {'x': x, 'y': y}, wrt='x')`, with "
                "a loss whose reduction is None."
            )
        raise ValueError(
            f"`output` must name one of the model's outputs {names}, or be one of "
            f"{list(OF_A_CLASSIFIER)}. Received: {output!r}."
        )
    size = len(leaves) if several else leaves[0].shape[-1] if leaves[0].shape.rank else 1
    if size is not None and not -size <= output < size:
        what = f"the model's {size} outputs" if several else "the output's last axis"
        raise ValueError(
            f"`output` must be an index of {what}, from {-size} to {size - 1}. Received: {output}."
        )
    if several:
        return leaves[output]
    return leaves[0][..., output : output + 1 or None]


def _scores(output: str, leaves: Sequence[Any]) -> Any:
    """The one output of a classifier."""
    shapes = [tuple(leaf.shape) for leaf in leaves]
    if len(shapes) != 1 or len(shapes[0]) < 2 or not (shapes[0][-1] or 0) > 1:
        raise ValueError(
            f"`output={output!r}` needs a model of one output with two classes or more on its "
            f"last axis. Received: outputs of shapes {shapes}. Choose with a function: "
            "`output=lambda outputs: ...`."
        )
    return leaves[0]


def _output_names(model: Model, outputs: Any, leaves: Sequence[Any]) -> list[str]:
    if isinstance(outputs, dict):
        return sorted(outputs)
    names = list(getattr(model, "output_names", None) or [])
    return names if len(names) == len(leaves) else []


def _names_of_outputs(model: Model, outputs: Any) -> tuple[str, ...]:
    leaves = keras.tree.flatten(outputs)
    if len(leaves) == 1:
        return ("",)
    names = _output_names(model, outputs, leaves)
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
                'for token ids the embedding: `wrt="embedding"`.'
            )


def _require_numbers(outputs: Any) -> None:
    for tensor in keras.tree.flatten(outputs):
        if tensor.dtype.is_complex or tensor.dtype == tf.string:
            raise TypeError(
                f"The output must be of real numbers. Received: dtype {tensor.dtype.name}. Of "
                "complex ones take the part that is meant: `output=tf.math.real`."
            )


def _require_differentiable(report: Audit) -> None:
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
    if report.unregistered:
        raise NotDifferentiableError(
            f"TensorFlow has no derivative for {_listed(report.unregistered)}, which the "
            "output depends on. Replace the op, or choose `wrt` behind it.",
            report.unregistered,
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
            f"Received: shape {shape} of {tensor.name!r}. Where a raw TensorFlow op loses "
            "the shape, set it with `tf.ensure_shape`."
        )
    return tuple(int(size) for size in shape[1:])
