"""What stands between a model and its second derivative is found on JAX too."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc
from ailing import AILING, HEALTHY, LINEAR, PARTLY, X, stack
from keras_curvature.engines.backend import narrow
from keras_curvature.engines.bound_model import bind
from keras_curvature.engines.options import Options

QUICK = {
    "logarithm of zero",
    "no derivative",
    "not connected",
    "relu all through",
    "stop_gradient",
}
"""The others take as long to compile, and much of it is the same."""

CALLED = {
    "IdentityN": "custom_vjp_call",
    "Log": "log",
    "Sqrt": "sqrt",
    "StopGradient": "stop_gradient",
    "TopK": "sort",
}
"""TensorFlow's names of ops -> JAX's."""


def each(table):
    """The models of a table, most of them slow."""
    return [
        pytest.param(entry, id=name, marks=[pytest.mark.slow] * (name not in QUICK))
        for name, entry in table.items()
    ]


@pytest.mark.parametrize("ailment", each(AILING))
def test_an_ailment_is_found_and_explained(ailment):
    keras.utils.set_random_seed(0)
    x = X if ailment.x is None else ailment.x
    report = kc.diagnose(ailment.make(), x, **ailment.options)
    # How much is in the kinks is up to the weights, which are not those of TensorFlow.
    kinked = {LINEAR, PARTLY} if ailment.kind in (LINEAR, PARTLY) else {ailment.kind}
    assert set(report.kinds) - kinked == set(ailment.also), str(report)
    (finding,) = [f for f in report.findings if f.kind in kinked]
    assert CALLED.get(ailment.where, ailment.where) in finding.where
    assert finding.layers == ailment.layers
    assert ailment.advice in finding.advice
    assert ailment.found in finding.found
    assert "TensorFlow" not in str(report)


@pytest.mark.slow
@pytest.mark.parametrize("make", HEALTHY.values(), ids=HEALTHY)
def test_nothing_is_found_in_a_healthy_model(make):
    keras.utils.set_random_seed(0)
    report = kc.diagnose(make(), X, compare_tapes=True)
    assert report.healthy, str(report)


def test_the_model_and_float64_are_left_alone():
    """Its weights, moving averages and random numbers; nothing of it is seen as an ailment."""
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(8, "silu"), layers.BatchNormalization(), layers.Dropout(0.5, seed=1)]
    model = stack(*hidden)
    before = [v.numpy() for v in model.variables]
    assert kc.diagnose(model, X).healthy
    assert len(before) == 9  # four of weights, four of the normalisation, and the dropout's seed
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert not jax.config.jax_enable_x64


@pytest.fixture
def float64():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    with jax.enable_x64(True):
        yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def test_layers_of_a_float64_model_that_compute_in_float32_are_named(float64):
    """Keras's ops round float64 on JAX, JAX's own do not: seen in what each layer gives."""
    keras.utils.set_random_seed(0)
    own = layers.Lambda(lambda t: jnp.sin(t), name="own")
    hidden = [layers.Dense(8, "tanh", name="rounded"), layers.Dense(8, "silu", name="kept"), own]
    model, given, rounding = stack(*hidden, layers.LayerNormalization(name="mean")), X, set()
    for layer in model.layers:
        given = layer(np.asarray(given, "float64"))
        if np.array_equal(given, np.asarray(given, "float32")):
            rounding.add(layer.name)
    (finding,) = kc.diagnose(model, X.astype("float64")).findings
    assert finding.kind == "below float64"
    assert set(finding.layers) == rounding == {"rounded", "mean"}
    assert "2 parts with the dtype policy float64 compute in" in finding.found
    assert "`jax.numpy`" in finding.advice


def test_what_is_truly_float64_or_means_to_be_float32_is_not(float64):
    x = X.astype("float64")
    exact = stack(layers.Dense(8, "silu"))
    meant = stack(layers.Dense(8, "tanh", dtype="float32"))
    for model in (exact, meant, lambda x: jnp.sin(x @ jnp.ones((3, 1)))):
        assert kc.diagnose(model, x).healthy


def test_rounding_inside_of_a_loop_is_the_layer_s(float64):
    recurrent = layers.SimpleRNN(4, lambda t: ops.sin(t).astype("float64"), name="loop")
    model = stack(layers.Reshape((3, 1)), recurrent)
    f = bind(model, X.astype("float64"), Options()).f
    assert {place.layer for place in narrow(f)} & {"loop", recurrent.cell.name}


@pytest.mark.slow
def test_a_training_ends_with_a_diagnosis(tmp_path):
    keras.utils.set_random_seed(0)
    model = stack(layers.Dense(8, "relu", name="bend"))
    model.compile("sgd", "mse")
    monitor = kc.CurvatureMonitor(X, tmp_path)
    model.fit(X, X[:, :1], verbose=0, callbacks=[monitor])
    assert monitor.diagnosis is not None
    assert [finding.layers for finding in monitor.diagnosis.findings] == [("bend",)]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*tfevents*"))
    assert b"relu in 'bend'" in written


@pytest.mark.slow
def test_kinks_inside_of_a_loop_have_a_name():
    keras.utils.set_random_seed(0)
    recurrent = layers.SimpleRNN(8, "relu")
    report = kc.diagnose(stack(layers.Reshape((3, 1)), recurrent), X)
    (finding,) = report.findings
    assert finding.layers == (recurrent.cell.name,), str(report)
    assert finding.where == f"relu in {recurrent.cell.name!r}"


OWN = {
    "wrong": (lambda x: jnp.where(x[:, :1] > 0, jnp.sqrt(x[:, :1]), x[:, :1] ** 2), "NaN"),
    "missing": (
        lambda x: jax.lax.while_loop(lambda c: c[1] < 2, lambda c: (c[0] ** 2, c[1] + 1), (x, 0))[
            0
        ],
        "Reverse-mode differentiation does not work",
    ),
}
"""What JAX itself cannot say of the second derivative of a function, and part of why."""


@pytest.mark.slow
@pytest.mark.parametrize("what", OWN)
def test_what_jax_itself_gets_wrong_is_told(what):
    function, found = OWN[what]
    report = kc.diagnose(function, X, compare_tapes=True)
    (finding,) = [f for f in report.findings if f.kind == f"JAX {what}"]
    assert found in finding.found, str(report)
    assert f"JAX {what}" not in kc.diagnose(function, X).kinds
