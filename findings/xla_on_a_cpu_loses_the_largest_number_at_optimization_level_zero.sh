#!/usr/bin/env bash
# JAX on a CPU: XLA_FLAGS=--xla_backend_optimization_level=0, which halves the time to compile, as for tests of many small programs
# or to debug. The gradient of a maximum is 1 at the largest number: JAX compares each with the maximum and divides by how many are
# equal.
#
# Guess before it was run: slower programs with the same results, to rounding.
# Seen: the gradient of max(x² - 0.7) is infinite, and along directions NaN: none of the numbers is equal to their own maximum, so
# something is divided by 0. That of max(x²) is right. With the default level all is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat > "$folder/run.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np

FUNCTIONS = {"x²": lambda x: x**2, "x² - 0.7": lambda x: x**2 - 0.7}
x = jnp.asarray([0.37, -0.62, 0.81], "float32")
for name, inner in FUNCTIONS.items():
    function = lambda x: jnp.max(inner(x))
    largest, along, back = (np.asarray(jax.jit(g(function))(x)) for g in (lambda f: f, jax.jacfwd, jax.grad))
    equal = int(jax.jit(lambda x: jnp.sum(inner(x) == jnp.max(inner(x))))(x))
    print(f"  max({name}) = {largest:.4f}, to which {equal} are equal; gradient forwards {along}, backwards {back}")
    right = equal == 1 and all(np.allclose(found, [0, 0, 1.62]) for found in (along, back))
    assert right == (sys.argv[1] == "default" or name == "x²") and np.isfinite(largest)
PYTHON
"$folder/bin/python" -c "import jax; print('jax', jax.__version__)"
echo "as it is:"
JAX_PLATFORMS=cpu "$folder/bin/python" "$folder/run.py" default
echo "with --xla_backend_optimization_level=0:"
JAX_PLATFORMS=cpu XLA_FLAGS=--xla_backend_optimization_level=0 "$folder/bin/python" "$folder/run.py" lowest
