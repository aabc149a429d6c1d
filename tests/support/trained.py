"""Log directories that real trainings write."""

from __future__ import annotations

import keras
import numpy as np

import keras_curvature as kc


def network(inputs, activation, rate):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(64, activation) for _ in range(2)]
    model = keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


def sine(log_dir, activation, epochs):
    """`sin 3x`, whose second derivative is known."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-1, 1, size=(500, 1)), axis=0)
    y = np.sin(3 * x) + 0.03 * rng.normal(size=x.shape)
    monitor = kc.CurvatureMonitor(
        (x[::2], y[::2]), log_dir, reference=-9 * np.sin(3 * x[::2])[..., None]
    )
    board = keras.callbacks.TensorBoard(log_dir)
    network(1, activation, 1e-2).fit(
        x, y, epochs=epochs, batch_size=25, verbose=0, callbacks=[board, monitor]
    )


def wave(log_dir, activation, epochs):
    """`sin(3 width) * height`."""
    x = np.random.default_rng(0).uniform(-1, 1, size=(1500, 2))
    y = np.sin(3 * x[:, :1]) * x[:, 1:]
    names = ["width", "height"]
    monitor = kc.CurvatureMonitor((x[:400], y[:400]), log_dir, feature_names=names)
    network(2, activation, 3e-3).fit(
        x, y, epochs=epochs, batch_size=25, verbose=0, callbacks=[monitor]
    )


NAMES = ["wave", "left", "right", "square", "straight", "noise"]


def six(log_dir, activation, epochs):
    """A sum of a wave, a product, a square and a straight line, in standard deviations."""
    x = np.random.default_rng(0).normal(size=(1500, 6))
    y = np.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + x[:, 3:4] ** 2 / 2 + x[:, 4:5]
    shape = {"straight": ("increasing", "decreasing")}
    monitor = kc.CurvatureMonitor(
        (x[:200], y[:200]), log_dir, feature_names=NAMES, units="std", shape=shape
    )
    network(6, activation, 3e-3).fit(
        x, y, epochs=epochs, batch_size=25, verbose=0, callbacks=[monitor]
    )


EPOCHS = {"sine": 30, "wave": 24, "six": 20}
