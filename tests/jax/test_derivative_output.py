"""Layers on JAX: they train what autodiff inside of a layer cannot, and keep it whole."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import jax
import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (256, 2)).astype("float32")


def with_derivatives(*inner, names=("value", "laplacian")):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((2,)), *inner, layers.Dense(1)])
    inputs = keras.Input((2,))
    model = keras.Model(inputs, kc.DerivativeOutput(net, list(names))(inputs))
    return net, model


def test_it_learns_a_function_from_its_laplacian():
    net, model = with_derivatives(layers.Dense(32, "tanh"))
    model.compile(keras.optimizers.Adam(0.01), {"value": "mse", "laplacian": "mse"})
    labels = {
        "value": np.sum(X**2, axis=1, keepdims=True),
        "laplacian": np.full((256, 1), 4.0, "float32"),
    }
    losses = model.fit(X, labels, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 100
    found = model.predict(X, verbose=0)
    np.testing.assert_allclose(found["laplacian"], kc.laplacian(net, X), rtol=1e-3, atol=1e-3)
    assert np.abs(found["laplacian"] - 4).mean() < 0.5


@pytest.mark.filterwarnings("ignore:The layer 'dropout' in DerivativeOutput")
def test_states_of_the_inner_model_survive_training():
    """`jax.grad` by hand leaves a tracer in these, and the model empty."""
    _, model = with_derivatives(
        layers.Dense(8, "tanh", activity_regularizer="l2"),
        layers.BatchNormalization(),
        layers.Dropout(0.1),
    )
    model.compile("adam", {"value": "mse", "laplacian": "mse"})
    labels = {"value": X[:, :1], "laplacian": X[:, :1]}
    model.fit(X, labels, epochs=1, verbose=0)
    assert not any(isinstance(v.value, jax.core.Tracer) for v in model.variables)
    assert np.isfinite(model.evaluate(X, labels, verbose=0)).all()


ON_TENSORFLOW = """
import sys, keras, numpy as np, keras_curvature
folder = sys.argv[1]
model = keras.models.load_model(folder + "/model.keras")
np.savez(folder + "/found.npz", **model.predict(np.load(folder + "/x.npy"), verbose=0))
"""


@pytest.mark.slow
def test_a_saved_model_gives_the_same_on_tensorflow(tmp_path):
    _, model = with_derivatives(layers.Dense(16, "gelu"), names=("value", "hessian"))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", X)
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", ON_TENSORFLOW, tmp_path], check=True, env=environment)
    elsewhere = np.load(tmp_path / "found.npz")
    for again in (model, keras.models.load_model(tmp_path / "model.keras")):
        for name, here in again.predict(X, verbose=0).items():
            np.testing.assert_allclose(here, elsewhere[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [None, 0.1])
def test_a_penalty_straightens(scale):
    def curvature_after(strength):
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((2,)), layers.Dense(16, "tanh"), layers.Dense(1)])
        inputs = keras.Input((2,))
        model = keras.Model(inputs, kc.CurvaturePenalty(net, strength, scale=scale)(inputs))
        model.compile(keras.optimizers.Adam(0.02), "mse")
        model.fit(X, np.sin(4 * X[:, :1]), epochs=20, verbose=0)
        return float(np.square(kc.laplacian(net, X)).mean())

    assert curvature_after(1.0) < curvature_after(0.0) / 4


@pytest.mark.slow
def test_a_penalty_over_a_short_distance_is_right_in_float64():
    """Of x² along its only input: 4. In float32 the second difference has no digits at 1e-5."""
    net = keras.Sequential([keras.Input((1,)), layers.Lambda(lambda x: x**2)])
    with warnings.catch_warnings():  # Keras asks for float64, which is off, and gets float32
        warnings.simplefilter("ignore", UserWarning)
        layer = kc.CurvaturePenalty(net, 1.0, scale=1e-5, dtype="float64")
        layer(X[:, :1], training=True)
    assert layer.losses[0] == pytest.approx(4, rel=1e-4)
