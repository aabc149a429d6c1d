"""Calling a Keras model while it is traced: unnoticed by it, with a layer's output in hand."""

from __future__ import annotations

import contextlib
import difflib
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import in_stateless_scope
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from keras_curvature.typing import Tensor


class ActsError(RuntimeError):
    """The model cannot be run without doing more than giving its output."""


def called(model: Callable[..., Any], inputs: Any, training: bool) -> Any:
    """The output of a model, in inference mode or in training."""
    if isinstance(model, keras.Layer):
        return model(inputs, training=training)
    return model(inputs)


@contextlib.contextmanager
def unnoticed(model: Any) -> Iterator[None]:
    """Keeps a trace and whatever goes on around it from each other.

    The symbolic activity losses of the trace must not reach the user's loss, those that were
    there before must stay, and the layers called next must not take over `training=False`. Random
    numbers that the model's Python code draws are given back: what it draws next is the same.
    """
    layers = model._flatten_layers() if isinstance(model, keras.Layer) else []
    losses = [(layer, list(layer._losses), set(layer._loss_ids)) for layer in layers]
    context = global_state.get_global_attribute("current_call_ctx")
    global_state.set_global_attribute("current_call_ctx", None)
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    seeded = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    try:
        yield
    finally:
        np.random.set_state(drawn_by_numpy)  # noqa: NPY002
        if global_state.get_global_attribute(GLOBAL_SEED_GENERATOR) is seeded:
            random.setstate(drawn)  # else Keras has drawn a seed for good
        global_state.set_global_attribute("current_call_ctx", context)
        for layer, values, identities in losses:
            layer._losses[:] = values
            layer._loss_ids.clear()
            layer._loss_ids.update(identities)


LIBRARIES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
"""What has tensors of its own, by the name of the package, which is that of Keras's backend too."""


def library_of(thing: Any) -> str:
    """The package of `LIBRARIES` that a tensor is of and that Keras does not run on, or `""`."""
    package = type(thing).__module__.partition(".")[0].removesuffix("lib")
    return package if package in set(LIBRARIES) - {keras.config.backend()} else ""


def raised_in(error: BaseException | None) -> str:
    """The package of `LIBRARIES` that an error came up in and Keras does not run on, or `""`."""
    others = set(LIBRARIES) - {keras.config.backend()}
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if package in others:
                return package
        error = error.__cause__ or error.__context__
    return ""


def require_tensors(outputs: Any) -> None:
    """Raises TypeError for a model's outputs that are no tensors."""
    leaves = keras.tree.flatten(outputs)
    if not leaves or any(leaf is None for leaf in leaves):
        shown = keras.tree.map_structure(_word, outputs)
        raise TypeError(
            f"The output must be a tensor or a structure of tensors. Received: {shown}. Choose "
            "the part that is meant by its name or index, or by a function: `output=...`."
        )


def _word(leaf: Any) -> str | None:
    return None if leaf is None else "a tensor"


@contextlib.contextmanager
def tapping(
    model: Any, tap: str | int | None, instead: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Has what follows the layer named `tap` see `instead` of its output."""
    if not isinstance(tap, str):
        yield
        return
    layer = find_layer(model, tap)
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        return instead(original(*args, **kwargs))

    with replaced_call(layer, call):
        yield


@contextlib.contextmanager
def replaced_call(layer: keras.Layer, call: Callable[..., Any]) -> Iterator[None]:
    """Makes a layer use `call` in the place of its own, past Keras's attribute tracking."""
    before = layer.__dict__.get("call")
    layer.__dict__["call"] = call
    try:
        yield
    finally:
        if before is None:
            del layer.__dict__["call"]
        else:
            layer.__dict__["call"] = before


def find_layer(model: Any, name: str, inputs: Sequence[str] = ()) -> keras.Layer:
    """The layer called `name` anywhere inside `model`; `inputs` might have been meant."""
    layers = model._flatten_layers(include_self=False) if isinstance(model, keras.Layer) else []
    by_name = {layer.name: layer for layer in layers}
    if name not in by_name:
        close = difflib.get_close_matches(name, [*inputs, *by_name], 1, 0.8)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"`wrt` must name one of the model's inputs or layers. Received: {name!r}. "
            f"The inputs are {list(inputs)}, the layers {sorted(by_name)}. For a column of an "
            f"input take `columns=`.{meant}"
        )
    return by_name[name]


def tap_message(tap: str | int, times: int) -> str:
    """What to say of a layer that is not called once."""
    return (
        f"`wrt={tap!r}` names a layer that the model calls {times} times in one forward pass; "
        "a derivative needs one output. "
        + ("Give each use its own layer." if times else "The model never calls it.")
    )


def variables_are_elsewhere() -> bool:
    """Whether Keras has taken the numbers out of its variables, as its trainer on JAX does."""
    return bool(in_stateless_scope())
