"""A model that goes from one backend to another in a file, and its numbers."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

import keras_curvature as kc

X = np.random.default_rng(0).normal(size=(4, 6, 3))
NAMES = ["value", "jacobian", "hessian_diagonal", "laplacian"]


def saved(folder):
    """Saves a model of many kinds of layers, and one with its derivatives; returns its numbers."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 3))
    x = layers.LayerNormalization()(layers.Dense(4, "silu")(inputs))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 2)(x, x)])
    x = layers.GRU(5)(layers.Conv1D(4, 3, padding="same", activation="gelu")(x))
    net = keras.Model(inputs, layers.Dense(2, "tanh")(layers.BatchNormalization()(x)))
    rng = np.random.default_rng(1)
    net.set_weights([w + 0.1 * np.abs(rng.normal(size=w.shape)) for w in net.get_weights()])
    net.save(folder / "net.keras")
    found = kc.DerivativeOutput(net, ["value", "laplacian"])(inputs)
    keras.Model(inputs, found).save(folder / "with_derivatives.keras")
    return numbers(folder)


def numbers(folder):
    """What the models in a folder say here: in float64, and by `predict`."""
    net = keras.models.load_model(folder / "net.keras")
    found = kc.derivatives(net, X, NAMES, dtype="float64")
    predicted = keras.models.load_model(folder / "with_derivatives.keras").predict(X, verbose=0)
    return {name: keras.ops.convert_to_numpy(part) for name, part in found.items()} | {
        f"predicted {name}": part for name, part in predicted.items()
    }
