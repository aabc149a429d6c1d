#!/usr/bin/env bash
# JAX: Taylor coefficients by `jax.experimental.jet` of powers with a float exponent, as `x ** 2.0` in a loss or
# `1 + x ** 2.0` under a root, at points at and below 0, and the same derivatives by `jax.grad` of `jax.grad`.
#
# Guess before it was run: the same. They are polynomials, the values are right, and so is `jax.grad`.
# Seen: every coefficient but the value is NaN from 0 down, that of the first order too: jet writes x ** p by the
# logarithm of x. With an int as the exponent it is right; `arctan2(1, x)` at 0, which is divided by x, is NaN likewise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
export JAX_PLATFORMS=cpu JAX_ENABLE_X64=1
"$folder/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
from jax.experimental.jet import jet

print("jax", jax.__version__)
CASES = [
    ("x ** 2.0", lambda x: x**2.0, -1.2),
    ("x ** 3.0", lambda x: x**3.0, -1.2),
    ("sqrt(1 + x ** 2.0)", lambda x: jnp.sqrt(1 + x**2.0), 0.0),
    ("arctan2(1, x)", lambda x: jnp.arctan2(1.0, x), 0.0),
    ("x ** 2", lambda x: x**2, -1.2),
    ("x ** 2.0", lambda x: x**2.0, 1.2),
]
for name, f, at in CASES:
    value, (first, second) = jet(f, (at,), ((1.0, 0.0),))
    truth = jax.grad(f)(at), jax.grad(jax.grad(f))(at)
    print(f"{name} at {at}: value {value:.4g}, derivatives {first:.4g}, {second:.4g}; jax.grad {truth[0]:.4g}, {truth[1]:.4g}")
    assert jnp.allclose(value, f(at)) and jnp.isfinite(jnp.array(truth)).all()
    if name == "x ** 2" or at > 0:
        assert jnp.allclose(jnp.array([first, second]), jnp.array(truth))
    else:
        assert jnp.isnan(first) and jnp.isnan(second)
PYTHON
