#!/usr/bin/env bash
# tf.linalg.cholesky reads the lower triangle only, and gives half of its derivative to the upper.
#
# Guess before it was run: entries that change nothing have the derivative 0, the others the whole.
# Seen: a matrix built from its lower triangle, as the op allows, trains with half the gradient of
# every entry beside the diagonal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON'
import tensorflow as tf

print("tensorflow", tf.__version__)


def factor(lower, upper):
    return tf.linalg.cholesky([[2.0, upper], [lower, 3.0]])[1, 0]


lower, upper = tf.constant(1.0), tf.constant(0.0)
with tf.GradientTape() as tape:
    tape.watch([lower, upper])
    y = factor(lower, upper)
by_lower, by_upper = (float(g) for g in tape.gradient(y, [lower, upper]))
h = 1e-2
differences = float(factor(lower + h, upper) - factor(lower - h, upper)) / (2 * h)
ignored = float(factor(lower, upper + 100)) == float(factor(lower, upper))
print("the upper entry is never read:", ignored)
print(f"derivative by the lower entry: {by_lower:.4f}, by the upper: {by_upper:.4f}")
print(f"differences of values by the lower entry: {differences:.4f} = 1/sqrt(2)")
assert ignored and abs(differences - 0.5**0.5) < 1e-3
assert abs(by_lower - by_upper) < 1e-6 and abs(by_lower - differences / 2) < 1e-3
PYTHON
