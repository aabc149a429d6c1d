"""A case as a function from one vector to one vector per example, and its true derivatives.

Inputs and outputs that are structures are laid side by side in the order of
`keras.tree.flatten`, so that every derivative of every case is one array. All of it is
computed once per session.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import truth
from cases.case import Case
from cases.weights import copied, original, precision


@dataclass(frozen=True, eq=False)
class Flat:
    """A model as `f(z)`, with the point of its case.

    Attributes:
        function: from the structure of what is differentiated by to the outputs.
        leaves: the arrays that are differentiated by.
        structure: how they are held together.
    """

    function: Callable[[Any], Any]
    leaves: tuple[np.ndarray, ...]
    structure: Any

    @property
    def z(self) -> np.ndarray:
        """The point, `(n, d)`."""
        return joined(self.leaves)

    def split(self, z: np.ndarray) -> Any:
        """`(rows, d)` to the structure of arrays."""
        sizes = [leaf[0].size for leaf in self.leaves]
        parts = np.split(z, np.cumsum(sizes)[:-1], axis=1)
        arrays = [
            part.reshape(-1, *leaf.shape[1:]) for part, leaf in zip(parts, self.leaves, strict=True)
        ]
        return keras.tree.pack_sequence_as(self.structure, arrays)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """`(rows, d)` to `(rows, m)`, the rows being whole batches."""
        dtype = self.leaves[0].dtype
        with precision(dtype.name):
            outputs = self.function(self.split(z.astype(dtype, copy=False)))
        return joined(keras.tree.flatten(outputs))

    def slope(self, z: np.ndarray, v: np.ndarray) -> np.ndarray:
        """First derivatives along `v` from TensorFlow, for one input and one output."""
        x, direction = (tf.constant(self.split(array)) for array in (z, v))
        with precision(z.dtype.name), tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            outputs = tf.unstack(self.function(x), axis=1)
        gradients = [tape.gradient(output, x) for output in outputs]
        return joined([tf.reduce_sum(g * direction, range(1, x.ndim)) for g in gradients])


def joined(leaves: Sequence[Any]) -> np.ndarray:
    """Arrays or tensors `(rows, ...)` side by side, `(rows, d)`."""
    arrays = [np.asarray(leaf) for leaf in leaves]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)


def model_of(case: Case, dtype: str = "float64") -> keras.Model:
    """The model, kept for a while: those of all cases would fill the memory."""
    return built(case, dtype, twin=False)


def built(case: Case, dtype: str, *, twin: bool) -> keras.Model:
    twin = twin and case.twin is not None
    return (_build if "slow" in case.tags else _build_once)(case, dtype, twin)


def _build(case: Case, dtype: str, twin: bool) -> keras.Model:
    make = case.twin if twin and case.twin else case.make
    if dtype == "float64" and (twin or case.twin is None):
        return original(make, case.number, case.settle)
    if dtype == "float64" and "float32_only" in case.tags:
        raise ValueError(f"{case.id} has no float64 model.")
    return copied(make, dtype, built(case, "float64", twin=True))


_build_once = functools.lru_cache(maxsize=16)(_build)


def forget_models() -> None:
    """Frees the models that were built, and what was compiled for them."""
    _build_once.cache_clear()


def flat_of(case: Case, dtype: str = "float64") -> Flat:
    """The model of a case as a function of one vector."""
    return _flattened(case, model_of(case, dtype), case.batch(dtype))


def true_flat_of(case: Case) -> Flat:
    """The float64 function that the truth is found from."""
    return _flattened(case, built(case, "float64", twin=True), case.batch("float64"))


def _flattened(case: Case, model: keras.Model, x: Any) -> Flat:
    if case.wrt is None:
        structure = keras.tree.map_structure(lambda _: None, x)
        call = functools.partial(model, training=False)
        return Flat(call, tuple(keras.tree.flatten(x)), structure)
    names = sorted(x) if isinstance(x, dict) else [tensor.name for tensor in model.inputs]
    several = case.wrt if isinstance(case.wrt, list) else [case.wrt]
    if isinstance(several[0], str) and several[0] not in names:
        return _by_a_layer(model, x, several[0])
    places = [one if isinstance(one, int) else names.index(one) for one in several]
    return _by_inputs(model, x, places)


def _by_inputs(model: keras.Model, x: Any, indexes: Sequence[int]) -> Flat:
    given = [keras.tree.flatten(x)[i] for i in indexes]

    def call(arrays: Sequence[Any]) -> Any:
        leaves = keras.tree.flatten(_tiled(x, arrays[0].shape[0] // len(given[0])))
        for i, array in zip(indexes, arrays, strict=True):
            leaves[i] = tf.convert_to_tensor(array)
        return model(keras.tree.pack_sequence_as(x, leaves), training=False)

    return Flat(call, tuple(given), [None] * len(given))


def _by_a_layer(model: keras.Model, x: Any, name: str) -> Flat:
    (layer,) = [layer for layer in model._flatten_layers() if layer.name == name]
    found: list[np.ndarray] = []
    own_call = layer.call

    def noting(*args: Any, **kwargs: Any) -> Any:
        found.append(np.asarray(own_call(*args, **kwargs)))
        return found[0]

    with _calling(layer, noting):
        model(x, training=False)

    def call(output: Any) -> Any:
        with _calling(layer, lambda *args, **kwargs: keras.ops.convert_to_tensor(output)):
            return model(_tiled(x, output.shape[0] // len(found[0])), training=False)

    return Flat(call, (found[0],), None)


@contextlib.contextmanager
def _calling(layer: keras.Layer, function: Callable[..., Any]) -> Iterator[None]:
    """Puts `function` in the place of a layer's `call`, past what Keras keeps track of."""
    layer.__dict__["call"] = function
    try:
        yield
    finally:
        del layer.__dict__["call"]


def _tiled(x: Any, times: int) -> Any:
    """The batch again and again, as tensors, which Keras lets be traced beside others."""
    return keras.tree.map_structure(lambda leaf: tf.constant(np.concatenate([leaf] * times)), x)


@functools.cache
def true_value(case: Case) -> np.ndarray:
    """The outputs in float64, `(n, m)`."""
    flat = true_flat_of(case)
    return flat(flat.z)


@functools.cache
def true_gradient(case: Case) -> np.ndarray:
    """The first derivatives in float64, `(n, m, d)`."""
    flat = true_flat_of(case)
    if case.exact is not None:
        return case.exact(built(case, "float64", twin=True), flat.z).gradient
    return truth.gradient(flat, flat.z, case.h, case.order)


@functools.cache
def true_hessian(case: Case) -> np.ndarray:
    """The second derivatives in float64, `(n, m, d, d)`; not for a case tagged `wide`."""
    if "wide" in case.tags:
        raise ValueError(f"{case.id} is too wide for a whole Hessian from differences.")
    flat = true_flat_of(case)
    if case.exact is not None:
        return case.exact(built(case, "float64", twin=True), flat.z).hessian
    if case.is_flat:
        n, m = true_value(case).shape
        return np.zeros((n, m, *2 * flat.z.shape[1:]))
    return truth.hessian_of_value(flat, flat.z, case.h, case.order)


@functools.cache
def direction_of(case: Case) -> np.ndarray:
    """A direction of length 1 for each example, `(n, d)`, that float32 holds exactly."""
    v = np.random.default_rng(case.number + 1).normal(size=true_flat_of(case).z.shape)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return v.astype(np.float32).astype(np.float64)


@functools.cache
def true_slope(case: Case) -> np.ndarray:
    """The first derivative along `direction_of(case)` in float64, `(n, m)`."""
    flat, v = true_flat_of(case), direction_of(case)
    if "truth_from_gradient" in case.tags:
        return flat.slope(flat.z, v)
    return truth.difference(flat, flat.z, v, case.h, case.order)


@functools.cache
def true_directional(case: Case) -> np.ndarray:
    """The second derivative along `direction_of(case)` in float64, `(n, m)`."""
    v = direction_of(case)
    if case.is_flat:
        return np.zeros_like(true_value(case))
    if "wide" not in case.tags:
        return np.einsum("ni,nmij,nj->nm", v, true_hessian(case), v)
    flat = true_flat_of(case)
    if "truth_from_gradient" in case.tags:
        return truth.difference_of_slope(flat.slope, flat.z, v, case.h, case.order)
    return truth.directional_second_difference(flat, flat.z, v, case.h, case.order)
