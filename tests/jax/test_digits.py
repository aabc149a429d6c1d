"""Digits that JAX's own derivatives lose."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from keras import ops

import keras_curvature as kc
from cases.special_points import OF_ONE_NUMBER
from confident_classes import ASKED, LOGITS, V, check, of_logsumexp

ENGINES = ["taylor", "nested"]


@pytest.mark.parametrize("engine", ENGINES)
def test_celu_where_its_branches_meet(engine):
    """By JAX's own rules for ties it has a quarter at 0."""
    points, row = OF_ONE_NUMBER["tails"].points, OF_ONE_NUMBER["tails"].functions["celu"]
    x = np.array(points, "float32")[:, None]
    found = kc.derivatives(ops.celu, x, ["jacobian", "hessian"], engine=engine)
    for k, name in enumerate(found, 1):
        truth = row[k](x.ravel().astype("float64"))
        np.testing.assert_allclose(np.ravel(found[name]), truth, rtol=2e-5, atol=1e-36)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_cumulative_sums_of_exponentials(engine):
    def function(x):
        return jax.lax.cumlogsumexp(x, axis=1)[:, -1]

    found = {}
    for names in ASKED:
        found |= kc.derivatives(function, np.array(LOGITS, "float32"), names, v=V, engine=engine)
    check({name: np.asarray(array, "float64") for name, array in found.items()}, of_logsumexp)


@jax.custom_vjp
def _sine(x, factor):
    return jnp.sin(x) * factor


_sine.defvjp(
    lambda x, factor: (_sine(x, factor), (x, factor)),
    lambda kept, upstream: (upstream * jnp.cos(kept[0]) * kept[1], None),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_written_gradient_that_calls_the_function_itself(engine, dtype):
    """JAX has no second derivative of it: it goes forward through no gradient."""
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    found = kc.derivatives(
        lambda x: jnp.sum(_sine(x**2, 3.0), axis=1),
        x.astype("float32"),
        ("jacobian", "hessian_diagonal"),
        engine=engine,
        dtype=dtype,
    )
    narrow = x.astype("float32").astype("float64")
    square = narrow**2
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for name, truth in {
        "jacobian": 6 * narrow * np.cos(square),
        "hessian_diagonal": 6 * np.cos(square) - 12 * square * np.sin(square),
    }.items():
        array = np.asarray(found[name]).reshape(2, 3)
        np.testing.assert_allclose(array, truth, atol=tolerance, err_msg=name)
