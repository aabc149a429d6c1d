#!/usr/bin/env bash
# JAX on a CPU: what `compiled.memory_analysis()` says that a function takes on the way, and what the
# process grows by while it runs. Two chained products of matrices and a sum over pairs of rows.
#
# Guess before it was run: `temp_size_in_bytes` is XLA's buffer assignment, the exact size of all
# results on the way; people compare programs by it without running them.
# Seen: where XLA hands chains of products and reductions to YNNPACK as one fusion, what YNNPACK
# keeps inside is in no number of the analysis. It says less than a tenth of what is taken.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
export JAX_PLATFORMS=cpu
"$folder/bin/python" - <<'PYTHON'
import ctypes
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

print("jax", jax.__version__)
N, K, D = 1024, 64, 256


def function(x, slope, w):
    first = (x * slope[:, None]) @ w
    return jnp.sum(jnp.square(first), axis=1)


def kibibytes(name):
    return int(re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())[1])


rng = np.random.default_rng(0)
x, slope, w = (jnp.asarray(rng.normal(size=s), "float32") for s in ((N, K, D), (N, D), (D, D)))
compiled = jax.jit(function).lower(x, slope, w).compile()
said = compiled.memory_analysis().temp_size_in_bytes / 2**20
compiled(x, slope, w).block_until_ready()
taken = []
for _ in range(5):
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = kibibytes("VmRSS")
    compiled(x, slope, w).block_until_ready()
    taken.append((kibibytes("VmHWM") - before) / 1024)
print(f"said: {said:.1f} MiB, taken: {max(taken):.1f} MiB")
print([m for m in re.findall(r"%(\S*fusion\S*) = (\S+)", compiled.as_text().split("ENTRY")[1])])
assert max(taken) > 10 * max(said, 0.1)
PYTHON
