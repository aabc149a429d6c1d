"""Models that take so many examples at a time, each in its own place."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc
from truth import hessian_of_value

to_numpy = ops.convert_to_numpy

BATCH = 3
X = np.random.default_rng(0).normal(size=(2 * BATCH, 4, 2)).astype("float32")


@pytest.mark.filterwarnings("ignore:The model gives an example another output")
def test_one_example_is_a_function_of_itself():
    """The Laplacian of `x / |x|` in two inputs is `-x / |x|³`."""
    x = np.array([[1.0, 2.0]])
    found = kc.laplacian(lambda z: z / ops.sqrt(ops.sum(z**2)), x, dtype="float64")
    np.testing.assert_allclose(to_numpy(found), -x / 5**1.5, rtol=1e-12)


@pytest.mark.slow
def test_each_example_has_the_state_of_its_place():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4, 2), batch_size=BATCH), layers.SimpleRNN(5, stateful=True)]
    )
    states = np.random.default_rng(1).uniform(-0.5, 0.5, (BATCH, 5))
    model.layers[0].states[0].assign(states)
    kernel, recurrent, bias = (w.astype("float64") for w in model.get_weights())
    states = to_numpy(model.layers[0].states[0]).astype("float64")  # as float32 holds them

    def value(place):
        def of_rows(z):
            state = np.tile(states[place], (len(z), 1))
            for step in z.reshape(-1, 4, 2).swapaxes(0, 1):
                state = np.tanh(step @ kernel + state @ recurrent + bias)
            return state

        return of_rows

    found = kc.hessian(model, X, dtype="float64")
    found = to_numpy(found).reshape(2 * BATCH, 5, 8, 8)
    for i, x in enumerate(X.reshape(-1, 1, 8).astype("float64")):
        wanted = hessian_of_value(value(i % BATCH), x, h=0.02)
        np.testing.assert_allclose(found[i : i + 1], wanted, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(to_numpy(model.layers[0].states[0]), states.astype("float32"))
    monitor = kc.CurvatureMonitor(X[:BATCH], units="raw")
    norm = np.sqrt((found[:BATCH] ** 2).sum() / (BATCH * 5))
    assert monitor.measure(model)[""].headline["rms"] == pytest.approx(norm, rel=1e-4)


@pytest.mark.slow
def test_a_number_of_examples_that_a_model_holds():
    """The Laplacian of the sum of cubes of a row is six times its sum."""

    def rows_of_three(x):
        return ops.sum(ops.reshape(x, (BATCH, 2, 4)) ** 3, axis=(1, 2))

    x = X[:BATCH].reshape(BATCH, 8)
    found = to_numpy(kc.laplacian(rows_of_three, x))
    np.testing.assert_allclose(found, 6 * x.sum(axis=1), rtol=1e-4)
