"""The layers under `tf.distribute.MirroredStrategy`."""

from __future__ import annotations

import subprocess
import sys

import pytest

TRAINING = """
import keras
import numpy as np
import tensorflow as tf
from keras import layers

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras_curvature as kc

X = np.random.default_rng(0).normal(size=(16, 2)).astype("float32")
Y = {"value": np.sin(X[:, :1]), "laplacian": np.cos(X[:, 1:])}
LOSSES = {"value": "mse", "laplacian": "mse"}


def network(*stack):
    return keras.Sequential([keras.Input((2,)), layers.Dense(8, "tanh"), *stack, layers.Dense(1)])


class Slope(layers.Layer):
    def __init__(self):
        super().__init__()
        self.net = keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(1)])

    def call(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = self.net(x)
        return tape.gradient(y, x)


def trained(*stack):
    keras.utils.set_random_seed(0)
    net, inputs = network(*(make() for make in stack)), keras.Input((2,))
    derivatives = kc.DerivativeOutput(net, ["value", "laplacian"])
    model = keras.Model(inputs, derivatives(inputs))
    model.compile(keras.optimizers.SGD(0.05), LOSSES, jit_compile=False)
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    found = model.predict(X, batch_size=8, verbose=0)
    return [*model.get_weights(), found["value"], found["laplacian"]]


def penalised():
    keras.utils.set_random_seed(0)
    for kind, asked in (("curvature", 0.1), ("shape", {0: "decreasing", 1: "linear"})):
        penalty = {"curvature": kc.CurvaturePenalty, "shape": kc.ShapePenalty}[kind]
        model = keras.Sequential([keras.Input((2,)), penalty(network(), asked)])
        model.compile("sgd", "mse", jit_compile=False)
        history = model.fit(X, Y["value"], batch_size=8, epochs=2, verbose=0).history
        assert 0 < history[f"{kind}_penalty"][-1] < history["loss"][-1]


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
alone = trained() + trained(Slope)
with strategy.scope():
    together = trained() + trained(Slope)
for a, b in zip(alone, together):
    np.testing.assert_allclose(a, b, atol=1e-5)
with strategy.scope():
    trained(layers.LayerNormalization, layers.BatchNormalization, lambda: layers.Dropout(0.5))
    penalised()
print("the same")
"""


@pytest.mark.slow
def test_two_replicas_train_as_one_does():
    """In a process of its own: TensorFlow settles its devices once."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINING], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "the same", done.stderr[-3000:]
