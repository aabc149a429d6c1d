"""The sentence that says what is going on, on networks where the answer is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_curvature.engines.options import Options
from keras_curvature.measurement.exact import ExactMeasurer
from keras_curvature.measurement.probe import make_probe
from keras_curvature.report.verdict import verdict

X = np.linspace(-1, 1, 64).astype("float32")[:, None]
NOISE = 2 * np.random.default_rng(0).normal(size=X.shape)


def model_of(function):
    return keras.Sequential([keras.Input((1,)), keras.layers.Lambda(function)])


def hat(x):
    """Piecewise linear with its curvature in five kinks."""
    return tf.add_n([tf.nn.relu(x - k) for k in (-0.8, -0.4, 0.0, 0.4, 0.8)])


CASES = {
    "healthy": (lambda x: x**2, lambda x: x**2),
    "poor fit": (lambda x: x**2, lambda x: np.sin(9 * x)),
    "piecewise linear": (hat, None),
    "partly hidden": (lambda x: 4 * x**2 + 0.25 * hat(x), None),
    "straight": (lambda x: 3 * x + 1, None),
    "still straight": (lambda x: 0.5 * x, lambda x: x**2),
    "linear": (lambda x: 3 * x, lambda x: 3 * x),
    "straight in noise": (lambda x: 3 * x, lambda x: 3 * x + NOISE),
    "disconnected": (lambda x: tf.zeros_like(x), None),
    "stopped": (lambda x: tf.stop_gradient(x) ** 2, None),
    "not finite": (lambda x: x**2 * np.nan, None),
}


@pytest.mark.parametrize("kind", CASES)
def test_verdict(kind):
    function, truth = CASES[kind]
    probe = X if truth is None else (X, truth(X))
    measurer = ExactMeasurer(model_of(function), make_probe(probe), options=Options())
    found = verdict(measurer.measure()[""], measurer.f.activity)
    assert found.kind == kind.removesuffix(" in noise"), found.sentence
    assert found.sentence.endswith(".")


def test_a_line_worse_than_a_constant_says_nothing_of_the_data():
    measurer = ExactMeasurer(
        model_of(lambda x: 1 - 3 * x), make_probe((X, 3 * X)), options=Options()
    )
    found = verdict(measurer.measure()[""], measurer.f.activity)
    assert (found.kind, "worse than a constant" in found.sentence) == ("straight", True)


@pytest.mark.parametrize("x", [X[:1], np.repeat(X[:1], 5, axis=0)], ids=["one", "the same"])
def test_of_one_point_nothing_is_said_of_what_lies_between(x):
    measurer = ExactMeasurer(model_of(lambda x: x**2), make_probe(x), options=Options())
    measurement = measurer.measure()[""]
    assert verdict(measurement, measurer.f.activity).kind == "one point"
    numbers = measurement.headline()
    assert numbers["mean"] == pytest.approx(2)
    assert np.isnan([numbers["slope_change"], numbers["hidden_fraction"]]).all()


def test_the_sentence_names_the_layer_that_stops_the_derivative():
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Lambda(lambda x: tf.stop_gradient(x) ** 2, name="frozen"),
        ]
    )
    measurer = ExactMeasurer(model, make_probe(X), options=Options())
    assert (
        "StopGradient in layer 'frozen'"
        in verdict(measurer.measure()[""], measurer.f.activity).sentence
    )


def test_a_standard_deviation_is_the_measure_of_straightness():
    """The verdict is the same whatever the units of x and y."""
    kinds = []
    for stretch, tall in ((1.0, 1.0), (1e3, 1e-3), (1e-3, 1e3)):
        model = model_of(lambda x, stretch=stretch, tall=tall: tall * (x / stretch) ** 2)
        measurer = ExactMeasurer(model, make_probe(X * stretch), options=Options())
        kinds.append(verdict(measurer.measure()[""], measurer.f.activity).kind)
    assert kinds == ["healthy"] * 3
