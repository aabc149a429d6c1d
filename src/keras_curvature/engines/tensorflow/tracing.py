"""From a Keras model to the TensorFlow graph of one call of it in inference mode."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from keras_curvature.engines.columns import Subset, subset_of
from keras_curvature.engines.keras_calls import (
    LIBRARIES,
    called,
    raised_in,
    replaced_call,
    require_tensors,
    tap_message,
    tapping,
    unnoticed,
)
from keras_curvature.engines.masks import packed
from keras_curvature.engines.tensorflow import private
from keras_curvature.engines.tensorflow.compilation import compiled
from keras_curvature.engines.tensorflow.fixed_columns import parted
from keras_curvature.engines.tensorflow.fused_kernels import unfused
from keras_curvature.engines.tensorflow.graph_identity import identity_of
from keras_curvature.engines.tensorflow.graph_ops import (
    BRANCHES,
    CALLS,
    LOOPS,
    functions_of,
    has_custom_gradient,
)


@dataclass(frozen=True)
class Tap:
    """A tensor inside of a graph, in the place of which another one can be put.

    Attributes:
        tensor: the output of a layer, or some columns of it or of an input.
        subset: these columns, where they are not all.
    """

    tensor: tf.Tensor
    subset: Subset | None


@dataclass(frozen=True)
class Trace:
    """One call of a model, as a graph.

    Attributes:
        graph: the graph; functions that it calls hang off it.
        inputs: placeholders, one per flattened input of the model, and one per mask.
        outputs: the model's output, in its own structure, of tensors of the graph.
        tap: what was asked for inside of the graph, or `None`.
        captures: the graph's other placeholders and what they stand for.
        variables: the variables that are read, by the placeholder of their handle.
        scopes: the name of the layer that was called in each name scope. TensorFlow numbers
            scopes that are opened twice, so that what `dense` does is in `dense_1`.
    """

    graph: tf.Graph
    inputs: tuple[tf.Tensor, ...]
    outputs: Any
    tap: Tap | None
    captures: tuple[tuple[tf.Tensor, tf.Tensor], ...]
    variables: dict[Any, tf.Variable]
    scopes: Mapping[str, str]

    @functools.cached_property
    def identity(self) -> str | None:
        """What the graph computes, as in `graph_identity`."""
        outputs = keras.tree.flatten(self.outputs)
        ends = outputs if self.tap is None else [*outputs, self.tap.tensor]
        return identity_of(self.graph, ends, list(self.variables.values()))


def declared_specs(inputs: Sequence[Any]) -> list[tf.TensorSpec]:
    """Of a model's symbolic inputs, with any number of examples."""
    return [tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in inputs]


def trace(
    model: Callable[..., Any],
    specs: Sequence[tf.TensorSpec],
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
        model: a Keras model or layer, or any function of a tensor.
        specs: one per flattened input, and one per mask.
        structure: the inputs' structure, anything in place of the leaves.
        select: applied to the model's output.
        tap: name of a layer whose output is to be had in `Trace.tap`, or index of an input some
            of whose columns are.
        columns: of what is tapped; the others are held. `None` for all of a layer's output.
        masked: for each mask, the index of the input that it is of.
        training: the mode in which a Keras model is called.
    """
    taps: list[Tap] = []
    scopes: dict[str, str] = {}

    def call(*leaves: tf.Tensor) -> list[tf.Tensor]:
        given = list(leaves)
        if isinstance(tap, int):
            given[tap] = _tapped(given[tap], columns, "the input", taps)

        def tapped(output: tf.Tensor) -> tf.Tensor:
            return _tapped(output, columns, f"the output of {tap!r}", taps)

        inputs = packed(structure, given, masked)
        with (
            private.recorded(),
            noting_scopes(model, scopes),
            tapping(model, tap, tapped),
        ):
            outputs = select(called(model, inputs, training))
        require_tensors(outputs)
        shape.append(keras.tree.map_structure(lambda _: None, outputs))
        return [tf.identity(leaf) for leaf in keras.tree.flatten(outputs)]

    shape: list[Any] = []
    try:
        with tf.init_scope(), unnoticed(model), unfused(model):
            concrete = compiled(call, specs)
    except Exception as error:
        _explain(error, model, structure)
        raise
    if tap is not None and len(taps) != 1:
        raise ValueError(tap_message(tap, len(taps)))
    graph = concrete.graph
    _keep_gradients(graph)
    captures = tuple(graph.captures)
    handles = {id(variable.handle): variable for variable in graph.variables}
    return Trace(
        graph=graph,
        inputs=tuple(graph.inputs[: len(specs)]),
        outputs=keras.tree.pack_sequence_as(shape[-1], list(graph.outputs)),
        tap=taps[0] if taps else None,
        captures=captures,
        variables={
            inner.ref(): handles[id(outer)] for outer, inner in captures if id(outer) in handles
        },
        scopes=scopes,
    )


def _tapped(
    tensor: tf.Tensor, columns: Sequence[int] | None, what: str, found: list[Tap]
) -> tf.Tensor:
    """The tensor as it goes on, behind what is left in `found`."""
    if columns is None or not tensor.dtype.is_floating:  # the latter is refused for its dtype
        tap = Tap(tf.identity(tensor), None)
        found.append(tap)
        return tap.tensor
    subset = subset_of(columns, tensor.shape, what)
    chosen, whole = parted(tensor, subset)
    found.append(Tap(chosen, subset))
    return whole


def _explain(error: Exception, model: Callable[..., Any], structure: Any) -> None:
    """Raises what it means that a model or function could not be traced, where that is known."""
    names = getattr(getattr(model, "__code__", None), "co_names", ())
    for name in ("predict", "predict_on_batch", "evaluate"):
        if name in names:
            raise TypeError(
                f"The function calls `{name}`, which takes arrays and gives arrays, where no "
                f"derivative can be followed. Call the model itself: `net(x)`. Keras says: {error}"
            ) from error
    said = str(error)
    to_numpy = "numpy" if isinstance(error, NotImplementedError) else "no attribute 'numpy'"
    away = isinstance(error, NotImplementedError | AttributeError) and to_numpy in said
    if away or "must be real number, not" in said:
        raise TypeError(
            "The model, or the function in `output`, hands a tensor to NumPy, or to `math`, where "
            f"no derivative can be followed. Write this part with `keras.ops`. Python says: {error}"
        ) from error
    library = raised_in(error)
    if library and "tensorflow" in said:  # else it may be an error of what a `JaxLayer` calls
        raise TypeError(
            f"{model!r} hands what it is given to {LIBRARIES[library]}, through which no "
            "derivative passes. Write it with `keras.ops` or TensorFlow; a model made for "
            f"{LIBRARIES[library]} is differentiated with KERAS_BACKEND={library}."
        ) from error
    if isinstance(error, TypeError) and re.search("missing .*required .*argument", said):
        raise TypeError(
            "The model must take one argument, `x` as it was given. Of a function of several make "
            f"one of a list: `lambda given: function(*given)`. Python says: {error}"
        ) from error
    if "unknown TensorShape" in said or "unknown rank" in said:
        raise ValueError(
            "In a graph TensorFlow does not know the shape of what an op of the model gives, which "
            "another one asks for. Where an op loses the shape, as `ops.associative_scan` does, "
            f"set it with `tf.ensure_shape`. TensorFlow says: {error}"
        ) from error
    if "Iterating over a symbolic" in said or "valid indices, got '" in said:
        given = "one array" if structure is None else f"a {type(structure).__name__} of arrays"
        raise TypeError(
            "The model's own code takes apart what it is given, as if it were a list or a dict, or "
            f"loops over it. Received: {given}. Give `x` as the model takes it; as a monitor's "
            f"probe a tuple is (x, y). TensorFlow says: {error}"
        ) from error


def _keep_gradients(graph: tf.Graph) -> None:
    """A model's own gradients go with its trace, those in its functions too."""
    for op in graph.get_operations():
        if has_custom_gradient(op):
            private.keep_gradient_with_graph(op)
        elif op.type in CALLS | LOOPS | BRANCHES:
            for inner in functions_of(op):
                _keep_gradients(inner.graph)


@contextlib.contextmanager
def noting_scopes(model: Any, found: dict[str, str]) -> Iterator[None]:
    """Notes in `found` the name scope that each layer inside `model` is called in."""
    layers = model._flatten_layers(include_self=False) if isinstance(model, keras.Layer) else []
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced_call(layer, _noting(layer, found)))
        yield


def _noting(layer: keras.Layer, found: dict[str, str]) -> Callable[..., Any]:
    original = layer.call

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        found[tf.get_current_name_scope()] = layer.name
        return original(*args, **kwargs)

    return call
