"""`estimate` as part of what JAX traces."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import keras_curvature as kc

ALL = ["trace", "xtrace", "frobenius_squared", "diagonal", "eigenvalues"]
X = np.random.default_rng(0).uniform(0.5, 2, (5, 4)).astype("float32")


def quartic(x):
    """`Σ xᵢ⁴ / 12`, whose Hessian `diag(xᵢ²)` random signs tell exactly."""
    return jnp.sum(x**4, axis=1, keepdims=True) / 12


@pytest.mark.parametrize("engine", ["taylor", "nested", "finite_difference"])
def test_float64_is_float64(engine):
    def estimates(x):
        found = kc.estimate(quartic, x, ["trace", "diagonal"], dtype="float64", engine=engine)
        return found["trace"].value[:, 0], found["diagonal"].value[:, 0]

    trace, diagonal = jax.jit(estimates)(X)
    squares = X.astype("float64") ** 2
    rtol = 1e-6 if engine == "finite_difference" else 1e-14
    np.testing.assert_allclose(trace, squares.sum(axis=1), rtol=rtol)
    np.testing.assert_allclose(diagonal, squares, rtol=rtol)
    assert not jax.config.jax_enable_x64


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_the_same_numbers(batch_size, dtype):
    def found(x, **options):
        asked = kc.estimate(quartic, x, ALL, dtype=dtype, tolerance=1e-6, **options)
        return {name: vars(result) for name, result in asked.items()}

    whole, one = found(X), jax.jit(lambda x: found(x, batch_size=batch_size))(X)
    for name, fields in whole.items():
        for field, known in fields.items():
            part = one[name][field]
            assert part.dtype == dtype
            if field == "direction":  # their sign is free
                part, known = np.abs(part), np.abs(known)
            # What an early stop leaves, and a cancellation in the residual.
            np.testing.assert_allclose(part, known, atol=2e-5, err_msg=f"{name} {field}")


@pytest.mark.slow
@pytest.mark.parametrize("transformed", [lambda f: f, jax.jit], ids=["grad", "jit of grad"])
def test_the_gradient_of_the_largest_eigenvalue(transformed):
    def largest(x):
        return kc.estimate(quartic, x, "eigenvalues")["eigenvalues"].value[:, 0, 1].sum()

    found = transformed(jax.grad(largest))(jnp.asarray(X))
    top = X.argmax(axis=1)[:, None] == np.arange(4)
    np.testing.assert_allclose(found, np.where(top, 2 * X, 0), atol=1e-4)
