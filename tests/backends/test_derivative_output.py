"""Layers train what autodiff inside of a layer cannot, and keep the model whole."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc

to_numpy = ops.convert_to_numpy

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
    np.testing.assert_allclose(
        found["laplacian"], to_numpy(kc.laplacian(net, X)), rtol=1e-3, atol=1e-3
    )
    assert np.abs(found["laplacian"] - 4).mean() < 0.5


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_the_hessian_trains_a_kernel_of_zeros():
    """The gradients by all other weights are 0: nothing comes of them but through it."""
    net, model = with_derivatives(
        layers.Dense(4, "tanh"),
        layers.Dense(2, kernel_initializer="zeros", name="zeros"),
        names=("hessian",),
    )
    x = X[:4].astype("float64")
    kernel, bias, *_, last, _ = (w.astype("float64") for w in net.get_weights())
    t = np.tanh(x @ kernel + bias)
    bending = np.sum(-2 * t * (1 - t**2) * kernel.sum(axis=0) ** 2, axis=0)
    model.compile(keras.optimizers.SGD(1.0), {"hessian": lambda y, found: ops.sum(found)})
    before = net.get_weights()
    model.train_on_batch(X[:4], np.zeros((4, 1, 2, 2)))
    for old, new in zip(before, net.get_weights(), strict=True):
        expected = np.outer(bending, last[:, 0]) if old.shape == (4, 2) else np.zeros(old.shape)
        # Float32, whose sums over four examples are near 1.
        np.testing.assert_allclose(old - new, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The layer 'dropout")
def test_states_of_the_inner_model_survive_training():
    """A gradient taken by hand inside of a layer leaves a tracer of JAX in these."""
    _, model = with_derivatives(
        layers.Dense(8, "tanh", activity_regularizer="l2"),
        layers.BatchNormalization(),
        layers.Dropout(0.1),
    )
    model.compile("adam", {"value": "mse", "laplacian": "mse"})
    labels = {"value": X[:, :1], "laplacian": X[:, :1]}
    model.fit(X, labels, epochs=1, verbose=0)
    assert all(np.isfinite(to_numpy(v)).all() for v in model.variables)
    assert np.isfinite(model.evaluate(X, labels, verbose=0)).all()


def cubic():
    """`Σᵢ xᵢ³`, of which the Laplacian is `6 Σᵢ xᵢ`; with a constant of two numbers."""
    x = keras.Input((2,))
    return keras.Model(x, ops.sum((x * np.ones(2, "float32")) ** 3, axis=1, keepdims=True))


ASKING = {
    "laplacian": (kc.laplacian, lambda x: 6 * x.sum(axis=1, keepdims=True)),
    "in parts": (
        lambda net, x: kc.laplacian(net, x, batch_size=2),
        lambda x: 6 * x.sum(axis=1, keepdims=True),
    ),
    "one direction": (
        lambda net, x: kc.hessian_vector_product(net, x, np.array([1.0, -1.0])),
        lambda x: 6 * x[:, None] * np.array([1.0, -1.0]),
    ),
    "a direction each": (
        lambda net, x: kc.hessian_vector_product(net, x, x),
        lambda x: 6 * x[:, None] ** 2,
    ),
}


@pytest.mark.parametrize("asked", ASKING)
def test_a_layer_of_one_s_own_may_ask_for_a_derivative(asked):
    """Keras asks it for the shape of its output with a symbol for the batch."""
    ask, truth = ASKING[asked]

    class Own(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.net = cubic()

        def call(self, x):
            return ask(self.net, x)

    model = keras.Sequential([keras.Input((2,)), Own()])
    assert model.output_shape == (None, *truth(X).shape[1:])
    found = model.predict(X[:5], verbose=0)
    np.testing.assert_allclose(found, truth(X[:5]), rtol=1e-5, atol=1e-5)


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
        return float(np.square(to_numpy(kc.laplacian(net, X))).mean())

    assert curvature_after(1.0) < curvature_after(0.0) / 4


@pytest.mark.slow
def test_a_penalty_over_a_short_distance_is_right_in_float64():
    """Of x² along its only input: 4. In float32 the second difference has no digits at 1e-5."""
    net = keras.Sequential([keras.Input((1,)), layers.Lambda(lambda x: x**2)])
    with warnings.catch_warnings():  # on JAX float64 is off, and Keras gets float32
        warnings.simplefilter("ignore", UserWarning)
        layer = kc.CurvaturePenalty(net, 1.0, scale=1e-5, dtype="float64")
        layer(X[:, :1], training=True)
    assert float(to_numpy(layer.losses[0])) == pytest.approx(4, rel=1e-4)
