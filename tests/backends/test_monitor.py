"""The monitor: what it tells is right, and the training is as if it were not there."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc

to_numpy = ops.convert_to_numpy

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (64, 2)).astype("float32")
Y = (X[:, :1] ** 2 - X[:, 1:]).astype("float32")

MATRIX = np.array([[3.0, 1.0], [1.0, -2.0]])


class Quadratic(keras.Model):
    """`xᵀ A x / 2`, all derivatives of which are known."""

    def call(self, x):
        x = ops.cast(x, "float32")
        return ops.sum((x @ ops.convert_to_tensor(MATRIX, "float32")) * x, axis=1) / 2


def noisy(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(16, "tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(1, activity_regularizer="l2"),
        ]
    )


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_a_quadratic_form_is_measured_as_it_is(dtype):
    model = Quadratic()
    model(X)
    monitor = kc.CurvatureMonitor(X, units="raw", dtype=dtype, shape={0: "convex", 1: "convex"})
    found = monitor.measure(model)[""]
    near = pytest.approx
    exact = {"float32": 1e-5, "float64": 1e-12}[dtype]
    assert found.headline["mean"] == near(np.trace(MATRIX), rel=exact)
    assert found.headline["rms"] == near(np.linalg.norm(MATRIX), rel=exact)
    assert found.detail["top_eigenvalue"] == near(np.linalg.eigvalsh(MATRIX)[1], rel=exact)
    # Differences of values over a quarter of a standard deviation lose digits of float32.
    assert found.headline["scale_mean"] == near(np.trace(MATRIX), rel=max(exact, 1e-4))
    assert [kept.fraction for kept in found.shape] == [1.0, 0.0]


TRAININGS = {
    "plain": {},
    "one operation after the other": {"run_eagerly": True},
    "a mean of the weights": {
        "optimizer": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3)
    },
}

if keras.config.backend() != "torch":  # whose trainer takes one at a time
    TRAININGS["several steps at once"] = {"steps_per_execution": 2}


@pytest.mark.parametrize(
    "kwargs",
    [
        pytest.param(kwargs, id=name, marks=[] if name == "plain" else [pytest.mark.slow])
        for name, kwargs in TRAININGS.items()
    ],
)
def test_a_watched_training_is_the_unwatched_one(kwargs):
    """Weights, states of the layers and of the optimizer: bit for bit."""
    ends = []
    for watched in (False, True):
        model = noisy()
        options = {"optimizer": "adam", **kwargs}
        if callable(options["optimizer"]):
            options["optimizer"] = options["optimizer"]()
        model.compile(loss="mse", **options)
        callbacks = [kc.CurvatureMonitor((X[:16], Y[:16]))] if watched else []
        history = model.fit(X, Y, epochs=2, batch_size=16, verbose=0, callbacks=callbacks)
        states = [*model.variables, *model.optimizer.variables]
        ends.append(([to_numpy(v) for v in states], history.history["loss"]))
    (before, losses), (after, watched_losses) = ends
    assert losses == watched_losses
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_step_is_of_the_weights_of_its_epoch():
    model = noisy()
    model.compile("adam", "mse")
    monitor = kc.CurvatureMonitor(X[:16], units="raw")
    kept = []

    class Keeper(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            kept.append([to_numpy(v) for v in model.variables])

    model.fit(X, Y, epochs=3, verbose=0, callbacks=[monitor, Keeper()])
    kept.append([to_numpy(v) for v in model.variables])
    assert len(set(monitor.history["mean"])) == 4
    for weights, mean in zip(kept, monitor.history["mean"], strict=True):
        for variable, weight in zip(model.variables, weights, strict=True):
            variable.assign(weight)
        laplacian = to_numpy(kc.laplacian(model, X[:16])).astype("float64")
        assert mean == pytest.approx(laplacian.mean(), rel=1e-5, abs=1e-7)


@pytest.mark.slow
def test_more_inputs_than_a_hessian_has_room_for_are_estimated():
    """Of a quadratic form in directions of -√3, 0, √3 the rms is exact on average."""
    width = 600
    x = RNG.normal(size=(64, width)).astype("float32")
    scale = np.linspace(0.5, 1.5, width).astype("float32")
    model = keras.Sequential(
        [keras.Input((width,)), layers.Lambda(lambda x: ops.matmul(x**2, scale))]
    )
    found = kc.CurvatureMonitor(x, units="raw", directions=32).measure(model)[""]
    mean, error = found.headline["mean"], found.detail["mean_standard_error"]
    assert 0 < error < 0.05 * mean
    assert mean == pytest.approx(2 * scale.sum(), abs=4 * error)
    assert found.headline["rms"] == pytest.approx(
        2 * np.linalg.norm(scale), abs=4 * found.detail["rms_standard_error"]
    )


FACTOR = [1.0]


def test_what_a_model_reads_besides_its_weights_is_what_it_is_now():
    class Scaled(layers.Layer):
        def call(self, x):
            return FACTOR[0] * ops.sum(x**2, axis=1, keepdims=True)

    model = keras.Sequential([keras.Input((2,)), Scaled()])
    monitor = kc.CurvatureMonitor(X, units="raw")
    try:
        for factor in (1.0, 3.0):
            FACTOR[0] = factor
            assert monitor.measure(model)[""].headline["mean"] == pytest.approx(4 * factor)
            monitor = kc.CurvatureMonitor(X, units="raw")
    finally:
        FACTOR[0] = 1.0


ON_TENSORFLOW = """
import sys, json, keras, numpy as np, keras_curvature as kc
folder = sys.argv[1]
model = keras.models.load_model(folder + "/model.keras")
x, y = (np.load(f"{folder}/{name}.npy") for name in "xy")
report = kc.CurvatureMonitor((x, y), dtype="float64", logs="all").measure(model)[""]
json.dump(report.numbers(), open(folder + "/found.json", "w"))
"""


@pytest.mark.slow
def test_a_saved_model_has_the_same_numbers_on_tensorflow(tmp_path):
    import json

    model = noisy()
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    for name, array in (("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", array)
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", ON_TENSORFLOW, tmp_path], check=True, env=environment)
    there = json.loads((tmp_path / "found.json").read_text())
    here = kc.CurvatureMonitor((X, Y), dtype="float64").measure(model)[""].numbers()
    assert there.keys() == here.keys()
    for name, number in there.items():
        if name != "seconds":
            assert here[name] == pytest.approx(number, rel=1e-6, abs=1e-9, nan_ok=True), name
