"""A device without float64 is named, and rows that a function leaves out are counted."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc
from keras_curvature.engines.jax import compilation

X = np.random.default_rng(0).uniform(-1, 1, (8, 3)).astype("float32")


@pytest.fixture
def net():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.fixture
def no_float64(monkeypatch):
    def refused(*numbers):
        raise jax.errors.JaxRuntimeError("UNIMPLEMENTED: f64")

    compilation.require_float64.cache_clear()
    monkeypatch.setattr(compilation.lax, "div", refused)
    yield
    compilation.require_float64.cache_clear()


IN_FLOAT64 = {
    "dtype": lambda net: kc.laplacian(net, X, dtype="float64"),
    "differences": lambda net: kc.laplacian(net, X, engine="finite_difference"),
    "diagnose": lambda net: kc.diagnose(net, X),
    "monitor": lambda net: net.fit(X, X[:, :1], verbose=0, callbacks=[kc.CurvatureMonitor(X)]),
}


@pytest.mark.parametrize("what", IN_FLOAT64)
def test_a_device_without_float64_is_named(what, net, no_float64):
    before = net.get_weights()
    with pytest.raises(
        ValueError, match=r"the device .* does not compute in it.*JAX_PLATFORMS=cpu"
    ):
        IN_FLOAT64[what](net)
    assert all(map(np.array_equal, net.get_weights(), before))  # before any training
    assert np.isfinite(kc.laplacian(net, X)).all()


def test_rows_that_are_left_out_after_more_examples_than_are_tried():
    with pytest.raises(ValueError, match=r"Received: 4 rows for 6 examples"):
        kc.laplacian(lambda x: x[:4] ** 3, np.ones((6, 2)))
