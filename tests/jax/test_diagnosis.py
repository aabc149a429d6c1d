"""What JAX itself gets wrong is told, and what Keras rounds on it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc
from ailing import X, stack
from keras_curvature.engines.backend import narrow
from keras_curvature.engines.bound_model import bind
from keras_curvature.engines.options import Options


def test_float64_is_left_alone():
    keras.utils.set_random_seed(0)
    assert kc.diagnose(stack(layers.Dense(8, "silu")), X).healthy
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
