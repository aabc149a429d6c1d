"""What is measured is what the model does now, whatever its call reads."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc

X = np.linspace(-1, 1, 16, dtype="float32")[:, None]


class Settings:
    """Something of the user's that a fingerprint does not look into."""

    factor = 1.0


@keras.saving.register_keras_serializable("tests")
class Bent(keras.layers.Layer):
    """`factor x²`."""

    def __init__(self, settings, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings

    def call(self, x):
        return self.settings.factor * x * x


class Drifting(Settings):
    """Another factor each time that it is read."""

    reads = 0

    @property
    def factor(self):
        self.reads += 1
        return float(self.reads)


def model_with(settings):
    model = keras.Sequential([keras.Input((1,)), Bent(settings)])
    model.compile("sgd", "mse")
    return model


def fit(model, **options):
    monitor = kc.CurvatureMonitor(X, **options)
    model.fit(X, X, epochs=1, verbose=0, callbacks=[monitor])
    return monitor.history


@pytest.mark.parametrize("directions", [None, 4])
def test_a_setting_that_changed_between_two_trainings(directions):
    settings = Settings()
    model = model_with(settings)
    before = fit(model, directions=directions)["mean"]
    settings.factor = 3.0
    after = fit(model, directions=directions)["mean"]
    np.testing.assert_allclose(after, 3 * np.array(before), rtol=1e-6)


def test_a_model_that_is_another_at_each_call_is_refused_before_training():
    model = model_with(Drifting())
    with pytest.raises(ValueError, match="does not do what it was traced to do: at example"):
        fit(model)
    assert int(model.optimizer.iterations) == 0


def test_such_a_model_is_trained_without_numbers_where_faults_may_pass():
    with pytest.warns(UserWarning, match="does not do what it was traced to do"):
        assert fit(model_with(Drifting()), on_error="warn") == {"step": [0, 1]}


@pytest.mark.parametrize("dtype", [None, "float64"])
def test_rounding_is_no_difference(dtype):
    """Of a million in the model, float32 has four digits behind the point left."""
    layers = [keras.layers.Lambda(lambda x: (x + 1e6) - 1e6), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    model.compile("sgd", "mse")
    assert fit(model, dtype=dtype)["step"] == [0, 1]


@keras.saving.register_keras_serializable("tests")
class Taped(keras.layers.Layer):
    """The slope of `x³`, by a tape of its own."""

    def call(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x**3
        return tape.gradient(y, x, unconnected_gradients="zero")


def bending(x):
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(8, "tanh"), Taped()])
    return kc.DerivativeOutput(net, ["hessian"])(x)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "output",
    [lambda x: Taped()(x), pytest.param(bending, marks=pytest.mark.slow)],
    ids=["a tape", "a layer"],
)
def test_a_model_that_differentiates_is_called_with_its_tapes(output):
    x = keras.Input((1,))
    model = keras.Model(x, output(x))
    monitor = kc.CurvatureMonitor(X)
    monitor.measure(model)
    assert "not compared" not in monitor.reports[""].text(numbers="all")
