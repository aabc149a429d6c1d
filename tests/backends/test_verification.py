"""`verify`: right is right, and a derivative that is not that of the values is named."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc
from keras_curvature.engines.quantities import NAMES

X = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")


def network(*inner):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((2,)), *inner, layers.Dense(1)])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_are_right(dtype):
    for activation in ("tanh", "relu"):
        model = network(layers.Dense(8, activation), layers.LayerNormalization())
        found = kc.verify(model, X, dtype=dtype)
        assert found.ok, found
        assert {check.name for check in found.checks} == set(NAMES), found


@pytest.mark.slow
def test_a_model_with_derivatives_inside_is_looked_at_again_and_again():
    """Each number of examples is traced anew, with the weights of whoever asks for it."""
    inputs = keras.Input((2,))
    layer = kc.DerivativeOutput(network(layers.Dense(4, "tanh")), ["value", "laplacian"])
    model = keras.Model(inputs, layer(inputs))
    for output in ("value", "laplacian"):
        assert kc.verify(model, X, output=output).ok, output
    assert "no findings" in str(kc.diagnose(model, X, output="value"))


@ops.custom_gradient
def forgetful(x):
    """A sine whose author has stopped what its slope depends on."""

    def gradient(*given, upstream=None):
        upstream = given[0] if upstream is None else upstream
        return upstream * ops.cos(ops.stop_gradient(x))

    return ops.sin(x), gradient


def test_a_derivative_that_its_author_cut_is_wrong():
    found = kc.verify(lambda x: ops.sum(forgetful(x), axis=1), X)
    wrong = {check.name for check in found.wrong}
    assert {"hessian", "laplacian"} <= wrong
    assert "jacobian" not in wrong
    assert "hand-written gradient (" in str(found)


@pytest.mark.slow
@pytest.mark.usefixtures("rules_as_before")
def test_a_wrong_rule_is_named():
    kc.taylor.deregister("tanh")
    wrong = kc.taylor.elementwise(lambda x, y: 1 - y * y, lambda x, y: 2 * y * (1 - y * y))
    kc.taylor.register("tanh", wrong)
    found = kc.verify(network(layers.Dense(4, "tanh")), X)
    assert not found.ok
    assert "Without the rule for 'tanh' it is right" in str(found)
