#!/usr/bin/env bash
# JAX: the second derivative of the exponential integral E1, `jax.scipy.special.exp1`, as in a well function or a
# neutron flux, and of `expn(n, x)`, which is the same function for n = 1; `expi` beside them.
#
# Guess before it was run: e^-x (1 + 1/x) / x; the first derivative is there, written by hand, so the second follows.
# Seen: the first derivative is right, by itself and in `jax.jit`. The second, by any nesting of `jax.grad`, `jacfwd` and
# `jacrev`, ends in a TypeError about a constant handler for tracers, which names neither the function nor a
# derivative. `expi`, which is E1 but for signs, is right: E1(x) = -expi(-x) helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
export JAX_PLATFORMS=cpu JAX_ENABLE_X64=1
"$folder/bin/python" - <<'PYTHON'
import math

import jax
from jax.scipy.special import exp1, expi, expn

print("jax", jax.__version__)
x = 1.5
first = -math.exp(-x) / x
second = math.exp(-x) * (1 + 1 / x) / x
FUNCTIONS = {"exp1": exp1, "expn(1, x)": lambda x: expn(1, x), "-expi(-x)": lambda x: -expi(-x)}
NESTINGS = {
    "grad of grad": lambda f: jax.grad(jax.grad(f)),
    "jacfwd of jacrev": lambda f: jax.jacfwd(jax.jacrev(f)),
    "jacfwd of jacfwd": lambda f: jax.jacfwd(jax.jacfwd(f)),
}
for name, f in FUNCTIONS.items():
    slopes = float(jax.grad(f)(x)), float(jax.jit(jax.grad(f))(x))
    assert all(abs(slope - first) < 1e-9 for slope in slopes), slopes
    for nesting, of in NESTINGS.items():
        try:
            found = float(of(f)(x))
        except TypeError as error:
            found = None
            print(f"{name}: slope {slopes[0]:.6f}, {nesting}: TypeError: {str(error)[:70]}")
        else:
            print(f"{name}: slope {slopes[0]:.6f}, {nesting}: {found:.6f}, right is {second:.6f}")
            assert abs(found - second) < 1e-9
        assert (found is None) == (name != "-expi(-x)")
PYTHON
