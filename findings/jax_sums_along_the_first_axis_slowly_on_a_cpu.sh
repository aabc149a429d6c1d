#!/usr/bin/env bash
# JAX on a CPU: the sum of squares along the first axis of an array of three, in one jitted function.
#
# Guess before it was run: XLA fuses the square into the sum, and a sum along the first axis of a
# row-major array reads the memory in order; writing it out as additions of slices is no faster.
# Seen: written out, and as a loop of additions (`lax.scan`), it takes a twentieth or less of
# the CPU time. `jnp.einsum` is as slow as `jnp.sum`; of many small slices (128 of 64 by 128)
# the plain sum is as fast as the loop. Forward-mode Laplacians of networks spend most of their time
# in it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
export JAX_PLATFORMS=cpu
"$folder/bin/python" - <<'PYTHON'
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

print("jax", jax.__version__)
WAYS = {
    "jnp.sum": lambda x: jnp.sum(x * x, axis=0),
    "jnp.einsum": lambda x: jnp.einsum("kij,kij->ij", x, x),
    "additions": lambda x: sum(part * part for part in x),
    "lax.scan": lambda x: lax.scan(lambda y, part: (y + part * part, None), x[0] ** 2, x[1:])[0],
}


def cpu_seconds(function, x):
    """The least CPU time of several calls, by all threads together."""
    compiled = jax.jit(function)
    compiled(x).block_until_ready()
    found = []
    for _ in range(10):
        begin = time.process_time()
        compiled(x).block_until_ready()
        found.append(time.process_time() - begin)
    return min(found)


for shape in ((8, 512, 256), (128, 64, 128)):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), "float32")
    times = {name: cpu_seconds(function, x) for name, function in WAYS.items()}
    print(f"{shape}: " + ", ".join(f"{name} {1e3 * t:.2f} ms" for name, t in times.items()))
    ratio = times["jnp.sum"] / times["lax.scan"]
    assert ratio > 5 if shape[0] == 8 else ratio < 5, ratio
PYTHON
