"""That recurrent layers are traced as loops where Keras would take cuDNN's kernels."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
from keras_curvature.engines.bound_model import bind
from keras_curvature.engines.options import Options

RNN = importlib.import_module("keras.src.backend.tensorflow.rnn")
X = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")
LAYERS = {
    "lstm": lambda how: layers.LSTM(2, use_cudnn=how),
    "gru": lambda how: layers.GRU(2, use_cudnn=how),
    "both_ways": lambda how: layers.Bidirectional(layers.GRU(2, use_cudnn=how)),
    "nested": lambda how: keras.Sequential([layers.LSTM(2, use_cudnn=how)]),
}


@pytest.fixture
def asked(monkeypatch):
    """Makes Keras believe in a GPU; a list of the kernels that it asked for."""
    found = []

    def spy(name):
        original = getattr(RNN, name)

        def kernel(*arguments):
            found.append(name)
            return original(*arguments)

        return kernel

    for name in ("_cudnn_lstm", "_cudnn_gru"):
        monkeypatch.setattr(RNN, name, spy(name))
    monkeypatch.setattr(RNN, "_is_gpu_available", lambda: True)
    return found


@pytest.mark.every(3)
@pytest.mark.parametrize("how", ["auto", True])
@pytest.mark.parametrize("name", LAYERS)
def test_no_kernel_of_cudnn_is_traced(name, how, asked):
    layer = LAYERS[name](how)
    net = keras.Sequential([keras.Input((3, 2)), layer, layers.Dense(1)])
    asked.clear()  # of the model's making
    bound = bind(net, X, Options(), in_float64=False)
    assert asked == []
    assert not any("Cudnn" in op.type for op in bound.f.traced.graph.get_operations())
    tf.function(net).get_concrete_function(tf.TensorSpec([None, 3, 2]))
    assert asked  # Keras itself still takes them


@pytest.mark.slow
def test_derivatives_and_functions_of_a_closure(asked):
    net = keras.Sequential([keras.Input((3, 2)), layers.LSTM(2), layers.Dense(1)])
    asked.clear()
    right = kc.scale_curvature(net, X, 1e-3, of="laplacian")  # differences of values, in float64
    # Of them the window of 1e-3 leaves a millionth of the fourth derivative.
    np.testing.assert_allclose(kc.laplacian(net, X), right, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kc.laplacian(lambda x: net(x), X), right, rtol=1e-4, atol=1e-6)
    assert asked == []
