"""A model that was changed is traced anew; one that was not, and one that is gone, is not."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from keras_curvature.engines import fingerprint as prints
from keras_curvature.engines.fingerprint import Same, fingerprint

X = np.linspace(-1, 1, 5)[:, None]


class Wave(keras.Model):
    """`sin(c x)` with its `c` in one attribute or another."""

    def __init__(self):
        super().__init__()
        self.number = 1.0
        self.list = [1.0]
        self.tuple = (1.0, (1.0,))
        self.dict = {"c": 1.0}
        self.array = np.ones(1)
        self.scalar = np.float64(1)
        self.tensor = tf.ones(1, tf.float64)
        self.function = lambda x: x
        self.inner = keras.layers.Activation("linear")

    def call(self, x):
        x = tf.cast(x, tf.float64)
        c = self.number * self.list[0] * self.tuple[1][0] * self.dict["c"] * self.scalar
        c = c * self.array * self.tensor
        return tf.sin(self.inner(self.function(c * x)))

    def double(self, x):
        return 2 * x


CHANGES = {
    "number": lambda m: setattr(m, "number", 2.0),
    "list": lambda m: setattr(m, "list", [2.0]),
    "in the list": lambda m: m.list.__setitem__(0, 2.0),
    "tuple": lambda m: setattr(m, "tuple", (1.0, (2.0,))),
    "in the dict": lambda m: m.dict.update({"c": 2.0}),
    "array": lambda m: setattr(m, "array", np.full(1, 2.0)),
    "in the array": lambda m: m.array.__imul__(2),
    "scalar": lambda m: setattr(m, "scalar", np.float64(2)),
    "tensor": lambda m: setattr(m, "tensor", tf.fill([1], tf.constant(2.0, tf.float64))),
    "function": lambda m: setattr(m, "function", lambda x: 2 * x),
    "method": lambda m: setattr(m, "function", m.double),
    "a layer's activation": lambda m: setattr(m.inner, "activation", lambda x: 2 * x),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_model_is_not_mistaken_for_what_it_was(change):
    model = Wave()
    model(X)
    for c in (1.0, 2.0):
        found = kc.laplacian(model, X, dtype="float64").numpy()
        np.testing.assert_allclose(found, -(c**2) * np.sin(c * X), atol=1e-6)
        if c == 1:
            change(model)


@pytest.mark.slow
def test_functions_that_come_and_go_at_the_same_address():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    for c in range(1, 11):
        model.layers[0].activation = lambda x, c=float(c): tf.sin(c * x)
        gc.collect()
        found = kc.laplacian(model, X, dtype="float64").numpy()
        np.testing.assert_allclose(found, -(c**2) * np.sin(c * X), atol=1e-3 * c**2)


def test_the_same_model_has_the_same_fingerprint():
    model = Wave()
    model.function = model.double
    model(X)
    model.compile("sgd", "mse")
    before = fingerprint(model)
    model.fit(X, X, verbose=0)
    model.predict(X, verbose=0)
    model(X)
    assert fingerprint(model) == before
    assert hash(fingerprint(model)) == hash(before)


@pytest.mark.parametrize(
    "function",
    [
        lambda model: model.double,
        pytest.param(lambda model: lambda x: model.number * x, marks=pytest.mark.slow),
    ],
)
def test_a_model_that_is_no_longer_used_goes(function):
    model = Wave()
    model.function = function(model)
    model(X)
    kc.laplacian(model, X)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_large_constants_are_told_apart_by_being_replaced(monkeypatch):
    monkeypatch.setattr(prints, "LARGEST_CONSTANT", 4)
    model = Wave()
    model(X)
    before = fingerprint(model)
    assert fingerprint(model) == before
    model.array = model.array.copy()
    assert fingerprint(model) != before


def test_same():
    class Thing:
        def method(self):
            pass

    one, two = Thing(), Thing()
    assert Same(one) == Same(one)
    assert Same(one) != Same(two)
    assert Same(one.method) == Same(one.method)
    assert Same(one.method) != Same(two.method)
    assert Same(np.sin) == Same(np.sin)
    assert Same(one) != 1
    old = Same(one)
    del one
    assert old != Same(two)
    assert old != old
