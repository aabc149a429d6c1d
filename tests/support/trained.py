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
    known = np.stack([-9 * np.sin(3 * x[:, 0]) * x[:, 1], 0 * x[:, 0]], axis=1)[:, None]
    monitor = kc.CurvatureMonitor(
        (x[:400], y[:400]), log_dir, units="raw", feature_names=names, reference=known[:400],
        maps={"quadrants": lambda z: z[:, 0] * z[:, 1]},
    )  # fmt: skip
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


LONG = "a_column_whose_name_is_longer_than_a_label"
COLUMNS = ["sex", "size", "smoker", f"{LONG}_a", f"{LONG}_b", "bmi", "age"]


def table(log_dir, activation, epochs):
    """Three columns of two values, and four of numbers."""
    x = np.random.default_rng(0).normal(size=(1000, 7))
    x[:, :3] = x[:, :3] > 0
    x[:, 1] = 5 + 5 * x[:, 1]
    y = 2 * x[:, :1] + x[:, 2:3] * x[:, 3:4] + x[:, 4:5] ** 2 / 2
    monitor = kc.CurvatureMonitor((x[:200], y[:200]), log_dir, feature_names=COLUMNS)
    network(7, activation, 3e-3).fit(
        x, y, epochs=epochs, batch_size=25, verbose=0, callbacks=[monitor]
    )


def tiles(log_dir, activation, epochs):
    """Images of 8 x 8, of which the square of one pixel counts."""
    x = np.random.default_rng(0).normal(size=(500, 8, 8, 1))
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(32, activation), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    monitor = kc.CurvatureMonitor(x[:64], log_dir)
    model.fit(x, x[:, 2, 5] ** 2, epochs=epochs, batch_size=25, verbose=0, callbacks=[monitor])


EPOCHS = {"sine": 30, "wave": 24, "six": 20, "table": 10, "tiles": 10}
