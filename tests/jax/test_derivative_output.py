"""A model with derivatives, exported by JAX."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_curvature as kc

X = np.random.default_rng(0).uniform(-1, 1, (8, 2)).astype("float32")


@pytest.mark.parametrize("engine", ["taylor", "nested"])
def test_an_exported_model_takes_any_number_of_examples(engine, tmp_path):
    """Keras exports with a symbol for their number. Of `Σᵢ xᵢ³` the Laplacian is `6 Σᵢ xᵢ`."""
    x = keras.Input((2,))
    cubic = keras.Model(x, ops.sum(x**3, axis=1, keepdims=True))
    model = keras.Model(x, kc.DerivativeOutput(cubic, ["value", "laplacian"], engine=engine)(x))
    model.export(tmp_path, verbose=False)
    serve = tf.saved_model.load(tmp_path).serve
    for count in (1, 5):
        found = serve(X[:count])
        truth = 6 * X[:count].sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found["laplacian"], truth, rtol=1e-4, atol=1e-4)


def cubic_in_float64(dtype):
    """The derivatives of `Σᵢ xᵢ³` by a layer in float64, and a model of it."""
    x = keras.Input((2,), dtype=dtype)
    cubic = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x**3)])
    layer = kc.DerivativeOutput(cubic, ["laplacian"], dtype="float64")
    return layer, x


@pytest.mark.parametrize("declared", [True, False])
def test_that_points_in_float64_are_rounded_is_said(declared):
    layer, x = cubic_in_float64("float64")
    with pytest.warns(UserWarning, match="float64, but at points in float32: with x64 off JAX"):
        layer(x if declared else np.full((3, 2), 0.1))


def test_points_in_float32_are_not_rounded_and_nothing_is_said(recwarn):
    layer, x = cubic_in_float64("float32")
    found = keras.Model(x, layer(x)).predict(X, verbose=0)["laplacian"]
    assert not [one for one in recwarn if "x64 off" in str(one.message)]
    np.testing.assert_allclose(found, 6 * X.astype("float64"), rtol=1e-14)


def test_with_x64_on_points_in_float64_stay_as_they_are(recwarn):
    with jax.enable_x64(True):
        layer, x = cubic_in_float64("float64")
        found = keras.Model(x, layer(x))(np.full((3, 2), 0.1))["laplacian"]
    assert not [one for one in recwarn if "x64 off" in str(one.message)]
    np.testing.assert_allclose(np.asarray(found), 0.6, rtol=1e-14)
