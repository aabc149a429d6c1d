"""Cases of networks of dense layers, and of what the simplest models have in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cases.case import Case, Exact
from cases.points import Floats

ROW = (3,)


class Sine(keras.layers.Layer):
    """A layer of a SIREN, Sitzmann et al. 2020: `sin(w0 (W x + b))`."""

    def __init__(self, units: int, w0: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.w0 = w0
        self.dense = layers.Dense(units)

    def build(self, shape: Any) -> None:
        self.dense.build(shape)

    def call(self, x: Any) -> Any:
        return ops.sin(self.w0 * self.dense(x))


class FourierFeatures(keras.layers.Layer):
    """`[cos(2 pi B x), sin(2 pi B x)]`, Tancik et al. 2020."""

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, shape: Any) -> None:
        self.frequencies = self.add_weight(
            shape=(shape[-1], self.count), initializer="random_normal", trainable=False
        )

    def call(self, x: Any) -> Any:
        phases = 2 * math.pi * ops.matmul(x, self.frequencies * 10)
        return ops.concatenate([ops.cos(phases), ops.sin(phases)], axis=-1)


class RadialBasis(keras.layers.Layer):
    """Gaussians of the distance to trained centres."""

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, shape: Any) -> None:
        self.centres = self.add_weight(shape=(self.count, shape[-1]))
        self.widths = self.add_weight(shape=(self.count,), initializer="ones")

    def call(self, x: Any) -> Any:
        difference = x[:, None, :] - self.centres
        return ops.exp(-self.widths * ops.sum(difference**2, axis=-1))


def _stack(*hidden: Any, units: int = 1) -> keras.Model:
    return keras.Sequential([keras.Input(ROW), *hidden, layers.Dense(units)])


def _mlp(*activations: str) -> Callable[[], keras.Model]:
    return lambda: _stack(*(layers.Dense(6, activation=name) for name in activations))


def _case(
    name: str, make: Callable[[], keras.Model], *tags: str, x: Any = None, **fields: Any
) -> Case:
    return Case(
        id=f"networks/{name}", make=make, x=x or Floats(ROW), tags=frozenset(tags), **fields
    )


def _residual() -> keras.Model:
    inputs = keras.Input(ROW)
    hidden = layers.Dense(5)(inputs)
    for _ in range(2):
        step = layers.Dense(5)(layers.Dense(5, activation="silu")(hidden))
        hidden = layers.Add()([hidden, step])
    return keras.Model(inputs, layers.Dense(1)(hidden))


def _highway() -> keras.Model:
    inputs = keras.Input(ROW)
    hidden = layers.Dense(4)(inputs)
    gate = layers.Dense(4, activation="sigmoid")(hidden)
    hidden = gate * layers.Dense(4, activation="tanh")(hidden) + (1 - gate) * hidden
    return keras.Model(inputs, layers.Dense(1)(hidden))


def _mixture_of_experts() -> keras.Model:
    inputs = keras.Input(ROW)
    experts = [
        layers.Dense(1)(layers.Dense(4, activation=name)(inputs))
        for name in ("tanh", "gelu", "sigmoid")
    ]
    gate = layers.Dense(3, activation="softmax")(inputs)
    return keras.Model(inputs, layers.Dot(axes=-1)([gate, layers.Concatenate()(experts)]))


def _regularised() -> keras.Model:
    """What differs between training and inference, all of it off."""
    return _stack(
        layers.GaussianNoise(0.3),
        layers.Dense(6),
        layers.BatchNormalization(),
        layers.Activation("tanh"),
        layers.Dropout(0.5),
        layers.Dense(6, activation="gelu", activity_regularizer="l2"),
        layers.AlphaDropout(0.2),
    )


# Closed forms


def _linear(model: keras.Model, z: np.ndarray) -> Exact:
    (n, d), kernel = z.shape, model.layers[-1].kernel.numpy()
    m = kernel.shape[1]
    return Exact(np.broadcast_to(kernel.T, (n, m, d)), np.zeros((n, m, d, d)))


def _quadratic() -> keras.Model:
    inputs = keras.Input(ROW)
    return keras.Model(
        inputs, layers.Dot(axes=-1)([inputs, layers.Dense(3, use_bias=False)(inputs)])
    )


def _of_quadratic(model: keras.Model, z: np.ndarray) -> Exact:
    (kernel,) = model.get_weights()
    symmetric = kernel + kernel.T
    return Exact((z @ symmetric)[:, None], np.broadcast_to(symmetric, (len(z), 1, 3, 3)))


def _of_sigmoid(model: keras.Model, z: np.ndarray) -> Exact:
    (w, b), (v, _) = (layer.get_weights() for layer in model.layers[-2:])
    s = 1 / (1 + np.exp(-(z @ w + b)))
    first, second = s * (1 - s), s * (1 - s) * (1 - 2 * s)
    return Exact(
        np.einsum("nk,dk,ko->nod", first, w, v),
        np.einsum("nk,dk,ek,ko->node", second, w, w, v),
    )


def _sum_of_sines() -> keras.Model:
    inputs = keras.Input(ROW)
    return keras.Model(inputs, ops.sum(ops.sin(inputs), axis=-1, keepdims=True))


def _of_sines(_: keras.Model, z: np.ndarray) -> Exact:
    return Exact(np.cos(z)[:, None], np.einsum("ni,ij->nij", -np.sin(z), np.eye(3))[:, None])


CLOSED_FORMS = [
    _case("linear", lambda: _stack(units=2), "linear", "closed_form", exact=_linear),
    _case("quadratic_form", _quadratic, "closed_form", exact=_of_quadratic),
    _case("sigmoid_layer", _mlp("sigmoid"), "closed_form", exact=_of_sigmoid),
    _case("sum_of_sines", _sum_of_sines, "closed_form", exact=_of_sines),
    _case(
        "deep_linear",
        lambda: _stack(layers.Dense(4), layers.Rescaling(2.0), layers.BatchNormalization()),
        "linear",
    ),
]

PERCEPTRONS = [
    _case("mlp_tanh", _mlp("tanh", "tanh")),
    _case("mlp_silu", _mlp("silu", "silu")),
    _case("mlp_gelu", _mlp("gelu", "gelu")),
    _case("mlp_softplus", _mlp("softplus", "softplus")),
    _case("mlp_softsign", _mlp("softsign", "softsign"), "kinked"),
    _case("mlp_relu", _mlp("relu", "relu"), "piecewise_linear", seed=2),
    _case("mlp_leaky_relu", _mlp("leaky_relu", "leaky_relu"), "piecewise_linear"),
    _case("mlp_mixed", _mlp("relu", "tanh", "elu", "silu"), "kinked", seed=5),
    _case("mlp_three_outputs", lambda: _stack(layers.Dense(5, activation="tanh"), units=3)),
    _case(
        "mlp_one_input",
        lambda: keras.Sequential(
            [keras.Input((1,)), layers.Dense(8, activation="tanh"), layers.Dense(1)]
        ),
        x=Floats((1,)),
        examples=3,
    ),
    _case(
        "mlp_on_a_sequence",
        lambda: keras.Sequential(
            [keras.Input((3, 2)), layers.Dense(4, activation="gelu"), layers.Dense(2)]
        ),
        x=Floats((3, 2)),
        note="Output of shape (3, 2): every position by itself.",
    ),
    _case("regularised", _regularised, "dropout"),
    _case("residual", _residual),
    _case("highway", _highway),
    _case("mixture_of_experts", _mixture_of_experts),
    _case("radial_basis", lambda: _stack(RadialBasis(5))),
    _case(
        "fourier_features",
        lambda: _stack(FourierFeatures(4), layers.Dense(6, activation="tanh")),
        step=1 / 512,
    ),
    _case("siren", lambda: _stack(Sine(6, 3.0), Sine(6, 3.0)), step=1 / 512),
    _case(
        "layer_normalization_mlp",
        lambda: _stack(
            *(layers.Dense(5, activation="gelu"), layers.LayerNormalization()),
            *(layers.Dense(5, activation="gelu"), layers.LayerNormalization()),
        ),
        "moments",
        step=1 / 512,
    ),
]

CASES = [*CLOSED_FORMS, *PERCEPTRONS]
