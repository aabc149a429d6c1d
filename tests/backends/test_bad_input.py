"""What does not belong here, or cannot be there, is told in words; no model is emptied by it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_curvature as kc
from keras_curvature.engines.keras_calls import LIBRARIES

to_numpy = ops.convert_to_numpy

X = np.random.default_rng(0).uniform(-1, 1, (8, 3)).astype("float32")


def made(*hidden):
    keras.utils.set_random_seed(1)
    parts = [keras.Input((3,)), layers.Dense(4, "tanh"), *hidden, layers.Dense(1)]
    model = keras.Sequential(parts)
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def net():
    return made()


OTHER = {"jax": "torch", "torch": "jax"}[keras.config.backend()]
"""The backend besides TensorFlow that Keras does not run on here."""

TENSORS = {
    "constant": tf.constant,
    "Variable": tf.Variable,
    "jax": lambda x: pytest.importorskip("jax.numpy").asarray(x),
    "torch": lambda x: pytest.importorskip("torch").from_numpy(x),
}


@pytest.mark.parametrize("of", TENSORS)
def test_numbers_of_another_backend_are_numbers(of, net):
    x = TENSORS[of](X)
    for found, same in (
        (kc.laplacian(net, x), kc.laplacian(net, X)),
        (kc.directional_curvature(net, X, x), kc.directional_curvature(net, X, X)),
    ):
        np.testing.assert_array_equal(to_numpy(found), to_numpy(same))
    monitor, same = kc.CurvatureMonitor((x, x[:, :1])), kc.CurvatureMonitor((X, X[:, :1]))
    net.fit(X, X[:, :1], verbose=0, callbacks=[monitor, same])
    assert monitor.history["mean"] == same.history["mean"]


class Unreadable:
    """As a tensor of PyTorch that needs a gradient, or one that JAX traces with."""

    shape, dtype, ndim = (8, 3), "float32", 2
    __module__ = OTHER

    def __array__(self, *options, **more):
        raise RuntimeError("It has no numbers.")


def in_a_graph_of_tensorflow(ask):
    return tf.function(ask, autograph=False)(tf.constant(X))


UNREADABLE = {
    OTHER: (
        lambda ask: ask(Unreadable()),
        f"Unreadable of {LIBRARIES[OTHER]} .*KERAS_BACKEND={OTHER}",
    ),
    "TensorFlow": (in_a_graph_of_tensorflow, "Tensor of TensorFlow .*KERAS_BACKEND=tensorflow"),
}


@pytest.mark.parametrize("ask", [lambda x: kc.laplacian(made(), x), kc.CurvatureMonitor])
@pytest.mark.parametrize("library", UNREADABLE)
def test_a_tensor_without_numbers_is_refused(library, ask):
    give, said = UNREADABLE[library]
    with pytest.raises(TypeError, match=f"must hold numbers: .*{said}"):
        give(ask)


FOREIGN = lambda t: __import__("tensorflow").sin(t)  # noqa: E731  # saved as its code


def loaded(path):
    """A model from a file with a Lambda of TensorFlow, as its author wrote and saved it there."""
    model = made(layers.Lambda(FOREIGN, output_shape=(4,)))
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras", safe_mode=False)


@pytest.mark.parametrize("ask", [kc.laplacian, kc.diagnose, kc.verify])
def test_a_file_with_a_lambda_of_tensorflow(ask, tmp_path):
    with pytest.raises(TypeError, match=r"to TensorFlow, .*`keras.ops`.*KERAS_BACKEND=tensorflow"):
        ask(loaded(tmp_path), X)


def test_so_says_a_layer_of_its_derivatives(tmp_path):
    with pytest.raises(TypeError, match="hands what it is given to TensorFlow"):
        kc.DerivativeOutput(loaded(tmp_path), "laplacian")(keras.Input((3,)))


def test_an_engine_that_is_not_there(net):
    asked = {"engine": "jet"}
    for ask in (
        lambda: kc.laplacian(net, X, **asked),
        lambda: kc.CurvatureMonitor(X, **asked),
        lambda: kc.DerivativeOutput(net, "laplacian", **asked),
    ):
        with pytest.raises(ValueError, match=r"`engine` must be 'auto' or one of .*'jet'"):
            ask()


class Pinn(keras.Model):
    """Takes a derivative of a model of its own, which it also trains."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def call(self, x, training=None):
        return self.net(x, training=training) + kc.laplacian(self.net, x)


class InTheLoss(Pinn):
    def call(self, x, training=None):
        return self.net(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        own = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
        return own + ops.mean(ops.square(kc.laplacian(self.net, x)))


def with_an_output(net):
    x = keras.Input((3,))
    return keras.Model(x, kc.DerivativeOutput(net, "laplacian")(x))


AROUND = {
    "model": Pinn,
    "loss": InTheLoss,
    "DerivativeOutput": with_an_output,
    "penalty": lambda net: keras.Sequential([keras.Input((3,)), kc.CurvaturePenalty(net, 1e-3)]),
}


@pytest.mark.parametrize("how", AROUND)
def test_a_derivative_inside_empties_no_model(how):
    """Also where the inner one has states and losses, and after one that cannot be taken."""
    hidden = [
        layers.Dense(4, "tanh", activity_regularizer="l2"),
        layers.BatchNormalization(),
        layers.ActivityRegularization(l1=1e-3),
    ]
    net = made(*hidden)
    with pytest.raises(ValueError, match="must have shape"):
        kc.laplacian(net, X[:, :2])
    model = AROUND[how](net)
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], verbose=0)
    model.predict(X, verbose=0)
    kept = [*model.variables, *net.variables]
    assert all(np.isfinite(to_numpy(variable)).all() for variable in kept)


def margin(x):
    labels = ops.zeros(len(x), "int64")
    return __import__("torch").nn.functional.multi_margin_loss(x**2, labels, reduction="none")


WITHOUT = {
    "jax": (lambda x: __import__("jax").lax.igamma(x, ops.ones_like(x)), "JAX", "igamma"),
    "torch": (margin, "PyTorch", "multi_margin_loss"),
}[keras.config.backend()]
"""A function whose gradient has none, whose fault that is, and the operation."""


@pytest.mark.parametrize("engine", ["taylor", "nested"])
def test_a_function_without_a_second_derivative_is_named(engine):
    function, whose, operation = WITHOUT
    said = f"{whose} has no second derivative for {operation} "
    with pytest.raises(ValueError, match=said):
        kc.laplacian(function, np.abs(X), engine=engine)
