"""A model with derivatives, exported by JAX."""

from __future__ import annotations

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
