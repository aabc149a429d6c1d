"""What is surveyed at generic points: layers, activations, operations, losses, quantised layers.

A subject is a function of one tensor, from `(n, d)` to one number for each of n examples, all of it
in `keras.ops`, so that whoever differentiates it sees what a user's model is made of. Models come
from the table of the tests (`tests/support/cases`), each between an input and a readout that
bends; losses by what is predicted and by the labels, layers in training mode and quantised layers
are added here. Where a batch goes through a layer together, it counts as one example.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cases import CASES
from cases.building import chain
from cases.case import Case
from cases.points import Floats
from cases.weights import copied, original, precision

ROUNDED = ("layers/MelSpectrogram",)
"""Whose constants Keras makes in float32 on JAX and PyTorch."""

FAMILIES = ("layers", "activations", "ops")
"""Of the table: the others are about whole networks, or about TensorFlow's own operations."""


@dataclass(frozen=True)
class Surveyed:
    """A function that was built in one dtype.

    Attributes:
        function: from `(n, d)` to `(n,)`, of the backend's tensors.
        z: the points, `(n, d)`.
        exact: the second derivative along `v`, where it is not that of the values.
        step: of the differences.
        order: of the differences.
        rounded: whether float32 is inside, so that its values are known to as many digits.
    """

    function: Callable[[Any], Any]
    z: np.ndarray
    exact: Callable[[np.ndarray], np.ndarray] | None = None
    step: float = 1 / 128
    order: int = 8
    rounded: bool = False


@dataclass(frozen=True)
class Subject:
    """What is surveyed.

    Attributes:
        id: what it is, `"layers/Dense"`; `"training/…"` is in training mode.
        build: makes it in a dtype.
    """

    id: str
    build: Callable[[str], Surveyed]


def subjects() -> Iterator[Subject]:
    """All of them, in the order of the page."""
    yield from map(_of_table, filter(_is_surveyed, CASES))
    for name, (make, shape) in TRAINED.items():
        yield Subject(f"training/{name}", lambda dtype, a=(make, shape): _in_training(*a, dtype))
    for name, (step, shape) in EXTRA.items():
        yield _of_table(Case(name, functools.partial(chain, shape, step), Floats(shape, -1, 1)))
    for name, (loss, kind) in LOSSES.items():
        for by in ("predicted", "labels") if kind not in OF_CLASSES else ("predicted",):
            yield Subject(f"losses/{name}[{by}]", lambda d, a=(loss, kind, by): _loss(*a, d))
    for name, (make, mode) in QUANTISED.items():
        yield Subject(f"quantised/{name}", lambda dtype, a=(make, mode): _quantised(*a, dtype))
    for name, make in LORA.items():
        yield Subject(f"lora/{name}", lambda dtype, make=make: _lora(make, dtype))


def _is_surveyed(case: Case) -> bool:
    return case.family in FAMILIES and case.wrt is None and "slow" not in case.tags


def _of_table(case: Case) -> Subject:
    def build(dtype: str) -> Surveyed:
        model = original(case.make, case.number, case.settle)
        if dtype != "float64":
            model = copied(case.make, dtype, model)
        x = case.batch(dtype)
        exact = None
        if case.exact is not None:

            def exact(v: np.ndarray) -> np.ndarray:
                hessian = case.exact(model, z.astype("float64")).hessian
                count = hessian.shape[1]
                return np.einsum("m,nmij,ni,nj->n", _weights(count), hessian, v, v)

        leaves = keras.tree.flatten(x)
        z = np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
        function = _flattened(lambda parts: model(parts, training=False), x)
        rounded = bool(case.tags & {"float32_inside", "float32_only"}) or case.id in ROUNDED
        return Surveyed(function, z, exact, case.h, case.order, rounded)

    return Subject(case.id, build)


def _weights(count: int) -> np.ndarray:
    """Of the outputs in the sum that is differentiated; no two alike."""
    return np.cos(np.arange(count) + 0.5)


def _flattened(call: Callable[[Any], Any], like: Any) -> Callable[[Any], Any]:
    """A function of a structure of arrays as one of `(n, d)`, with one number for an example."""
    shapes = [leaf.shape[1:] for leaf in keras.tree.flatten(like)]
    ends = np.cumsum([math.prod(shape) for shape in shapes])

    def function(z: Any) -> Any:
        starts = [0, *ends[:-1]]
        parts = [
            ops.reshape(z[:, int(a) : int(b)], (-1, *shape))
            for a, b, shape in zip(starts, ends, shapes, strict=True)
        ]
        outputs = keras.tree.flatten(call(keras.tree.pack_sequence_as(like, parts)))
        flat = ops.concatenate(
            [ops.reshape(one, (-1, math.prod(one.shape[1:]))) for one in outputs], axis=1
        )
        weights = ops.convert_to_tensor(_weights(flat.shape[1]), dtype=flat.dtype)
        return ops.sum(ops.cast(flat * weights, z.dtype), axis=1)

    return function


# --- training mode -------------------------------------------------------------------------

TRAINED: dict[str, tuple[Callable[[], keras.Layer], tuple[int, ...]]] = {
    "BatchNormalization": (layers.BatchNormalization, (4,)),
    "BatchNormalization[images]": (layers.BatchNormalization, (2, 2, 4)),
    "BatchNormalization[not centred]": (lambda: layers.BatchNormalization(center=False), (4,)),
    "GroupNormalization": (lambda: layers.GroupNormalization(2), (4,)),
    "LayerNormalization": (layers.LayerNormalization, (4,)),
    "RMSNormalization": (layers.RMSNormalization, (4,)),
    "SpectralNormalization": (lambda: layers.SpectralNormalization(layers.Dense(4)), (4,)),
    "UnitNormalization": (layers.UnitNormalization, (4,)),
}
"""Layers that do something in training and nothing at random."""


def _in_training(make: Callable[[], keras.Layer], shape: tuple[int, ...], dtype: str) -> Surveyed:
    """The whole batch is one example: what is normalised by it depends on all of it."""
    keras.utils.set_random_seed(3)

    def net() -> keras.Model:
        inputs = keras.Input(shape)
        hidden = make()(layers.Dense(4, activation="tanh")(inputs))
        return keras.Model(inputs, layers.Dense(2, activation="tanh")(hidden))

    model = original(net, 3)
    if dtype != "float64":
        model = copied(net, dtype, model)
    x = np.random.default_rng(3).normal(size=(1, 5, *shape)).astype(dtype)
    trainable = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    def call(parts: Any) -> Any:
        outputs, _ = model.stateless_call(
            trainable, others, ops.reshape(parts, (-1, *shape)), training=True
        )
        return ops.reshape(outputs, (-1, 5 * math.prod(outputs.shape[1:])))

    return Surveyed(_flattened(call, x), x.reshape(1, -1))


# --- what the table has not ----------------------------------------------------------------


def _masked_attention(x: Any, *, scores: bool) -> Any:
    """Three tokens, of which the second sees nothing."""
    mask = np.array([[True, True, False], [False] * 3, [True, False, True]])
    attend = layers.MultiHeadAttention(2, 2)
    attended = attend(x, x, attention_mask=mask[None], return_attention_scores=scores)
    return attended[0] if scores else attended


EXTRA: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "layers/MultiHeadAttention[a query fully masked]": (
        functools.partial(_masked_attention, scores=False),
        (3, 4),
    ),
    "layers/MultiHeadAttention[a query fully masked, scores returned]": (
        functools.partial(_masked_attention, scores=True),
        (3, 4),
    ),
    "ops/roll[negative axis]": (layers.Lambda(lambda x: ops.roll(x, 1, axis=-1)), (2, 3)),
}


# --- losses --------------------------------------------------------------------------------

_L = keras.losses
LOSSES: dict[str, tuple[Callable[[], Any], str]] = {
    "BinaryCrossentropy": (lambda: _L.BinaryCrossentropy(reduction=None), "chances"),
    "BinaryCrossentropy[logits]": (
        lambda: _L.BinaryCrossentropy(from_logits=True, reduction=None),
        "binary logits",
    ),
    "BinaryFocalCrossentropy": (lambda: _L.BinaryFocalCrossentropy(reduction=None), "chances"),
    "CategoricalCrossentropy": (lambda: _L.CategoricalCrossentropy(reduction=None), "shares"),
    "CategoricalCrossentropy[logits]": (
        lambda: _L.CategoricalCrossentropy(from_logits=True, reduction=None),
        "logits",
    ),
    "CategoricalFocalCrossentropy": (
        lambda: _L.CategoricalFocalCrossentropy(reduction=None),
        "shares",
    ),
    "CategoricalGeneralizedCrossEntropy": (
        lambda: _L.CategoricalGeneralizedCrossEntropy(reduction=None),
        "classes",
    ),
    "CategoricalHinge": (lambda: _L.CategoricalHinge(reduction=None), "numbers"),
    "CosineSimilarity": (lambda: _L.CosineSimilarity(reduction=None), "numbers"),
    "Dice": (lambda: _L.Dice(axis=(1,), reduction=None), "chances"),
    "Hinge": (lambda: _L.Hinge(reduction=None), "numbers"),
    "Huber": (lambda: _L.Huber(0.7, reduction=None), "numbers"),
    "KLDivergence": (lambda: _L.KLDivergence(reduction=None), "shares"),
    "LogCosh": (lambda: _L.LogCosh(reduction=None), "numbers"),
    "MeanAbsoluteError": (lambda: _L.MeanAbsoluteError(reduction=None), "numbers"),
    "MeanAbsolutePercentageError": (
        lambda: _L.MeanAbsolutePercentageError(reduction=None),
        "numbers",
    ),
    "MeanSquaredError": (lambda: _L.MeanSquaredError(reduction=None), "numbers"),
    "MeanSquaredLogarithmicError": (
        lambda: _L.MeanSquaredLogarithmicError(reduction=None),
        "chances",
    ),
    "Poisson": (lambda: _L.Poisson(reduction=None), "chances"),
    "SparseCategoricalCrossentropy": (
        lambda: _L.SparseCategoricalCrossentropy(reduction=None),
        "classes",
    ),
    "SparseCategoricalCrossentropy[logits]": (
        lambda: _L.SparseCategoricalCrossentropy(from_logits=True, reduction=None),
        "class logits",
    ),
    "SquaredHinge": (lambda: _L.SquaredHinge(reduction=None), "numbers"),
    "Tversky": (lambda: _L.Tversky(0.3, 0.6, axis=(1,), reduction=None), "chances"),
}
"""Each with what it is a loss of."""

_RANGES: dict[str, Callable[[Any], Any]] = {
    "chances": ops.sigmoid,
    "binary logits": lambda x: x,
    "class logits": lambda x: x,
    "classes": lambda x: ops.softmax(x, axis=-1),
    "logits": lambda x: x,
    "numbers": lambda x: x,
    "shares": lambda x: ops.softmax(x, axis=-1),
}
"""How numbers of any size become what a loss takes."""

LABELS = {"binary logits": "chances", "logits": "shares"}
"""What its labels are, where they are something else."""

OF_CLASSES = ("classes", "class logits")


def _loss(make: Callable[[], Any], kind: str, by: str, dtype: str) -> Surveyed:
    loss = make()
    rng = np.random.default_rng(7)
    z = rng.normal(size=(3, 4)).astype(dtype)
    fixed = rng.normal(size=(1, 4)).astype(dtype)
    among = _RANGES[kind]
    labels_among = _RANGES[LABELS.get(kind, kind)]

    def function(points: Any) -> Any:
        other = ops.zeros_like(points) + ops.convert_to_tensor(fixed)
        if kind in OF_CLASSES:
            return loss(ops.argmax(other, axis=1), among(points))
        if by == "predicted":
            return loss(labels_among(other), among(points))
        return loss(labels_among(points), among(other))

    return Surveyed(function, z, step=1 / 256)


# --- quantised layers, LoRA ----------------------------------------------------------------

QUANTISED: dict[str, tuple[Callable[[], keras.Layer], str]] = {
    "Dense[int8]": (lambda: layers.Dense(4), "int8"),
    "Dense[int4]": (lambda: layers.Dense(4), "int4"),
    "EinsumDense[int8]": (lambda: layers.EinsumDense("ab,bc->ac", 4), "int8"),
    "EinsumDense[int4]": (lambda: layers.EinsumDense("ab,bc->ac", 4), "int4"),
}
"""Their input is rounded; Keras hands the slope on as if it were not (straight through)."""


def _quantised(make: Callable[[], keras.Layer], mode: str, dtype: str) -> Surveyed:
    """`sin` of a quantised layer: `-sin(y) (W' v)²` by Keras's own slope, of the rounded W."""
    keras.utils.set_random_seed(5)
    with precision(dtype):
        model = keras.Sequential([keras.Input((4,)), make()])
        kernel = np.random.default_rng(5).normal(size=(4, 4)).astype(dtype)
        model.layers[0].set_weights([kernel, *model.layers[0].get_weights()[1:]])
        model.quantize(mode)
    z = np.random.default_rng(6).normal(size=(3, 4)).astype(dtype)
    function = _flattened(lambda x: ops.sin(model(x, training=False)), z)
    dequantised = _slopes_of(model, z)

    def exact(v: np.ndarray) -> np.ndarray:
        y = ops.convert_to_numpy(model(z, training=False)).astype("float64")
        return np.sum(-np.sin(y) * (v @ dequantised) ** 2 * _weights(4), axis=1)

    return Surveyed(function, z, exact)


def _slopes_of(model: keras.Model, z: np.ndarray) -> np.ndarray:
    """The matrix that a quantised layer multiplies by: its answers to large unit vectors.

    127 is what an input is scaled to, so that a unit vector is not rounded.
    """
    bias = ops.convert_to_numpy(model(np.zeros_like(z[:1]), training=False))
    answers = ops.convert_to_numpy(model(127 * np.eye(4, dtype=z.dtype), training=False))
    return ((answers - bias) / 127).astype("float64")


LORA: dict[str, Callable[[], tuple[keras.Layer, tuple[int, ...]]]] = {
    "Dense": lambda: (layers.Dense(4, activation="tanh"), (3,)),
    "EinsumDense": lambda: (layers.EinsumDense("ab,bc->ac", 4, activation="tanh"), (3,)),
    "Conv1D": lambda: (layers.Conv1D(3, 2, activation="tanh"), (4, 2)),
    "Conv2D": lambda: (layers.Conv2D(3, 2, activation="tanh"), (3, 3, 2)),
}


def _lora(make: Callable[[], tuple[keras.Layer, tuple[int, ...]]], dtype: str) -> Surveyed:
    keras.utils.set_random_seed(8)
    with precision(dtype):
        layer, shape = make()
        model = keras.Sequential([keras.Input(shape), layer])
        layer.enable_lora(2)
        rng = np.random.default_rng(8)
        for weight in model.weights:
            weight.assign(rng.normal(size=weight.shape).astype("float32").astype(dtype))
    x = np.random.default_rng(9).normal(size=(2, *shape)).astype(dtype)
    return Surveyed(_flattened(lambda a: model(a, training=False), x), x.reshape(2, -1))
