#!/usr/bin/env bash
# JAX: the modified Bessel function I0, as of Kaiser windows and von Mises distributions, is in jax.numpy and in
# jax.scipy.special; I1 in the latter. I0 is even and smooth: slope 0 and second derivative 1/2 at 0; I1 has 1/2 and 0.
#
# Guess before it was run: two names of one function, with its derivatives everywhere.
# Seen: no second derivative at 0 is right. All are exp(|x|) times a rest with a kink at 0, where |x| has slope 1 and the
# rest of I0 has 0. By jax.scipy.special the slope of I0 is 1 and its second derivative 3/2, and I1 bends by
# 1. jax.numpy says that the slope is 0 there, as a constant, so that the second derivative is 0. A step beside 0 all agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu "$folder/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import jax.scipy.special as special

print("jax", jax.__version__)
found = {}
for name, f in {
    "jax.numpy.i0": jnp.i0,
    "jax.scipy.special.i0": special.i0,
    "jax.scipy.special.i1": special.i1,
}.items():
    at = [(float(jax.grad(f)(x)), float(jax.grad(jax.grad(f))(x))) for x in (0.0, 1e-3)]
    found[name] = at
    print(f"{name}: slope and second derivative at 0: {at[0]}, at 0.001: ({at[1][0]:.6f}, {at[1][1]:.6f})")
assert found["jax.numpy.i0"][0] == (0.0, 0.0)
assert found["jax.scipy.special.i0"][0] == (1.0, 1.5)
assert found["jax.scipy.special.i1"][0] == (0.5, 1.0)
for name in ("jax.numpy.i0", "jax.scipy.special.i0"):
    assert abs(found[name][1][1] - 0.5) < 1e-5
PYTHON
