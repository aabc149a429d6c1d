"""Many epochs, and a model that is changed between two fits of one monitor."""

from __future__ import annotations

import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_curvature as kc
from watched import PROBE, X, Y

LONG_RUN = Path(__file__).parents[2] / "benchmarks" / "cost" / "long_run.py"


@pytest.mark.slow
def test_two_thousand_epochs_leave_memory_and_traces_as_they_were():
    looks, monitor = runpy.run_path(str(LONG_RUN))["watch"](2000)
    first, *_, settled, _, _, last = looks
    assert (first.epoch, settled.epoch, last.epoch) == (1, 500, 2000)
    assert (last.memory - settled.memory) / 1e6 < 20
    assert {look.traces for look in looks} == {2}  # to measure, and to compare with
    assert {look.functions for look in looks} == {first.functions}
    assert last.log / last.epoch < 8000  # bytes; 5,700 with the tab's 64 points
    assert len(monitor.history["step"]) == 2001


def network(*activations, units=4, seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(units, name) for name in activations]
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


ACTIVATIONS = {"tanh": np.tanh, "sin": np.sin, "linear": lambda x: x, "relu": lambda x: x}


def mean_laplacian(model):
    """By differences in float64 of what the layers compute."""

    def f(x):
        for layer in model.layers:
            kernel, bias = (np.asarray(w, "float64") for w in (layer.kernel, layer.bias))
            x = ACTIVATIONS[layer.activation.__name__](x @ kernel + bias)
        return x

    x, h = PROBE.astype("float64"), 1e-4
    steps = h * np.eye(2)[:, None]
    return np.mean(sum(f(x + step) - 2 * f(x) + f(x - step) for step in steps) / h**2)


def sin(x):
    return keras.ops.sin(x)


def swap(model):
    model.set_weights([1.5 * w for w in model.get_weights()])


def freeze(model):
    model.layers[0].trainable = False
    model.compile("sgd", "mse")


def recompile(model):
    model.compile("adam", "mae", jit_compile=True)


def bend(model):
    model.layers[0].activation = sin
    model.compile("sgd", "mse")


def deepen(model):
    model.pop()
    model.add(keras.layers.Dense(3, "tanh"))
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")


CHANGES = {
    "nothing": lambda model: None,
    "weights swapped": swap,
    "a layer frozen": freeze,
    "compiled again": recompile,
    "another activation": bend,
    "another layer": deepen,
    "a different model": lambda model: network("tanh", "tanh", units=3, seed=1),
}


@pytest.mark.every(3)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_model_changed_between_two_fits_gives_its_own_numbers(change):
    model, monitor = network("tanh"), kc.CurvatureMonitor(PROBE, units="raw")
    for _ in range(2):
        model.fit(X, Y, epochs=1, verbose=0, callbacks=[monitor])
        truth = mean_laplacian(model)
        # float32 against float64
        assert monitor.history["mean"][-1] == pytest.approx(truth, rel=1e-4, abs=1e-5)
        model = change(model) or model
    assert monitor.history["step"] == [0, 1, 2]


@pytest.mark.slow
def test_another_output_does_not_leave_the_old_one_in_the_logs():
    monitor = kc.CurvatureMonitor(PROBE)
    inputs = keras.Input((2,))
    a, b = (keras.layers.Dense(1, name=name)(inputs) for name in "ab")
    both, one = keras.Model(inputs, {"a": a, "b": b}), keras.Model(inputs, b)
    for model, target in ((both, {"a": Y, "b": Y}), (one, Y)):
        model.compile("sgd", "mse")
        fit = model.fit(X, target, verbose=0, callbacks=[monitor])
    assert not {name for name in fit.history if name.startswith("curvature_a_")}
    assert list(monitor.reports) == [""]
    assert np.isnan(monitor.history["a_mean"][-1])
