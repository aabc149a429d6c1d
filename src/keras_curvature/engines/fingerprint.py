"""Whether a model is still the one that was traced."""

from __future__ import annotations

import types
import weakref
import zlib
from collections.abc import Hashable
from functools import cache
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.arrays import xp
from keras_curvature.typing import Tensor

LARGEST_CONSTANT = 2**16
"""Bytes of an attribute up to which it is compared by value: this is done in every call."""


def fingerprint(model: keras.Layer) -> Hashable:
    """Changes when a layer is added, replaced or given other settings; not with weights.

    Settings are what a trace reads as constants: a layer's attributes that are numbers, texts,
    functions, arrays, or lists, tuples and dicts of these. What a model reads elsewhere, a global
    or the inside of an object of another class, is not seen, as in a `tf.function`.
    """
    return tuple(
        (Same(layer), layer.dtype_policy.name, _settings(layer), _variables(layer))
        for layer in model._flatten_layers()
    )


class Same:
    """Equal to another one of the very same object, as long as that object lives.

    An `id` alone is given to another object later, and the object itself would be kept alive,
    often with the model.
    """

    __slots__ = ("_hash", "_of")

    def __init__(self, of: Any) -> None:
        method = isinstance(of, types.MethodType)
        self._hash = hash((id(of.__self__), id(of.__func__))) if method else id(of)
        try:
            self._of: Any = weakref.WeakMethod(of) if method else weakref.ref(of)
        except TypeError:  # few things, such as NumPy's functions, and none that holds a model
            self._of = lambda: of

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Same):
            return NotImplemented
        mine = self._of()
        if mine is None:
            return False
        # A bound method is made anew each time that it is looked up.
        return mine == other._of() if isinstance(mine, types.MethodType) else mine is other._of()


_NOTHING = object()
"""Stands for what a trace does not read as a constant."""


def _settings(layer: keras.Layer) -> Hashable:
    """The attributes of a layer that a trace of it has read as constants."""
    # `adapt` sets tensors; other layers that hold some may set them anew in every call.
    adapts = hasattr(layer, "adapt")
    bookkeeping = _bookkeeping()
    found = []
    for name, value in vars(layer).items():
        if name in bookkeeping or name.startswith("_self_"):  # Keras's and TensorFlow's
            continue
        constant = _constant(value, adapts)
        if constant is not _NOTHING:
            found.append((name, constant))
    return tuple(found)


def _constant(value: Any, adapts: bool) -> Hashable:
    if isinstance(value, (bool, int, float, complex, str)):
        return type(value), value
    if isinstance(value, (list, tuple)):
        return tuple(_constant(item, adapts) for item in value)
    if isinstance(value, dict):
        return tuple((str(key), _constant(item, adapts)) for key, item in value.items())
    if isinstance(value, (np.ndarray, np.generic)):
        return _array(np.asarray(value))
    if isinstance(value, xp.Array):
        return _tensor(value, adapts)
    if isinstance(value, keras.Layer) or not callable(value):
        return _NOTHING  # layers come themselves
    return Same(value)


def _tensor(value: Tensor, adapts: bool) -> Hashable:
    if (
        xp.has_numbers(value)
        and np.prod(value.shape) * xp.itemsize(value.dtype) <= LARGEST_CONSTANT
    ):
        return _array(xp.to_numpy(value))
    return Same(value) if adapts else _NOTHING


def _array(value: np.ndarray[Any, Any]) -> Hashable:
    if value.nbytes > LARGEST_CONSTANT or value.dtype.hasobject:
        return Same(value)
    return value.shape, value.dtype.str, zlib.crc32(np.ascontiguousarray(value).tobytes())


@cache
def _bookkeeping() -> frozenset[str]:
    """Attributes that Keras keeps for itself, in calling and in training a model."""
    of_loops = {"stop_training", "stop_evaluating", "stop_predicting", "_eval_epoch_iterator"}
    return frozenset(vars(keras.Model())) | of_loops | {"history"}


def _variables(layer: keras.Layer) -> tuple[Same, ...]:
    """The layer's variables; another answer for those that Keras has yet to create."""
    return tuple(Same(xp.holder_of(variable)) for variable in layer.variables)
