#!/usr/bin/env bash
# TensorFlow: `tf.linalg.eigh` of float64 matrices on a CPU, as a graph and compiled by XLA.
#
# Guess before it was run: both to the last digits of float64, perhaps other signs; the dtype of the
# results is float64 in both.
# Seen: the eigenvalues and the orthogonality of the eigenvectors are right to 1e-14 in both. But XLA's
# eigenvectors belong to these eigenvalues to 1e-8 only, so that `V diag(w) Vᵀ` has half the digits of the
# matrix: what is whitened, decorrelated or sampled with them under `jit_compile=True` has them too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install numpy==2.4.6 tensorflow==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES=-1 "$folder/bin/python" - <<'PYTHON'
import numpy as np
import tensorflow as tf

print("tensorflow", tf.__version__)
a = np.random.default_rng(0).normal(size=(10, 10))
a = a + a.T
found = {}
for name, xla in (("graph", False), ("XLA", True)):
    values, vectors = tf.function(tf.linalg.eigh, jit_compile=xla)(tf.constant(a))
    assert vectors.dtype == tf.float64
    w, v = values.numpy(), vectors.numpy()
    found[name] = {
        "eigenvalues": np.abs(w - np.linalg.eigvalsh(a)).max(),
        "orthogonality": np.abs(v.T @ v - np.eye(10)).max(),
        "A v - w v": np.abs(a @ v - v * w).max(),
        "V diag(w) V' - A": np.abs((v * w) @ v.T - a).max(),
    }
    print(name, {what: f"{size:.0e}" for what, size in found[name].items()})
assert max(found["graph"].values()) < 1e-13
assert max(found["XLA"]["eigenvalues"], found["XLA"]["orthogonality"]) < 1e-13
assert min(found["XLA"]["A v - w v"], found["XLA"]["V diag(w) V' - A"]) > 1e-10
PYTHON
