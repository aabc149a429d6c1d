#!/usr/bin/env bash
# JAX on a CPU: the gradient by `w` of `f(x @ w)` with `x` of shape (k, n, d), in one jitted function,
# and the same with `x` and the product laid out as matrices (k n, d) by reshapes, which copy nothing.
#
# Guess before it was run: XLA sees through reshapes of row-major arrays, both compile to the same
# product of matrices, and take the same time.
# Seen: the contraction over two leading axes has one operand written anew in transposed order first
# (a fusion of the result's size transposed, no library call takes it as it lies). The reshaped one
# has no such copy and takes about two thirds of the time. What `keras.layers.Dense` does on
# sequences is the former.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
export JAX_PLATFORMS=cpu
"$folder/bin/python" - <<'PYTHON'
import re
import time

import jax
import jax.numpy as jnp
import numpy as np

print("jax", jax.__version__)
K, N, D = 8, 512, 256


def loss(product):
    return jnp.sum(jnp.tanh(product) ** 2)


def as_it_is(w, x, scale):
    return loss((x * scale) @ w)


def as_matrices(w, x, scale):
    return loss(jnp.reshape(x * scale, (-1, D)) @ w)


rng = np.random.default_rng(0)
w, x, scale = (
    jnp.asarray(rng.normal(size=shape), "float32") for shape in ((D, D), (K, N, D), (N, D))
)
found = {}
for function in (as_it_is, as_matrices):
    compiled = jax.jit(jax.grad(function)).lower(w, x, scale).compile()
    transposed = re.findall(rf"= f32\[{D},{K * N}\]\S* (?:fusion|copy|transpose)\(", compiled.as_text())
    gradient = compiled(w, x, scale).block_until_ready()
    times = []
    for _ in range(15):
        begin = time.process_time()
        compiled(w, x, scale).block_until_ready()
        times.append(time.process_time() - begin)
    found[function] = len(transposed), min(times), gradient
    print(f"{function.__name__}: {1e3 * min(times):.1f} ms of CPU, {len(transposed)} transposed copies")
(copies, slow, one), (none, fast, other) = found.values()
assert jnp.allclose(one, other, rtol=1e-3, atol=1e-3)
assert copies > 0 and none == 0, (copies, none)
assert slow > 1.3 * fast, slow / fast
PYTHON
