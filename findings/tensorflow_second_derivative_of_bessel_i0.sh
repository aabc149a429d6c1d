#!/usr/bin/env bash
# The second derivative of TensorFlow's Bessel function I0 is 1 at 0, where it is 1/2.
#
# Guess before it was run: 0.5, as right beside it.
# Seen: exactly at 0, where the argument of a network's first layer often is, 1.0.
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


def second(x):
    x = tf.constant(x, tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.math.special.bessel_i0(x)
        slope = inner.gradient(y, x)
    return float(outer.gradient(slope, x))


h = 1e-3
values = [float(tf.math.special.bessel_i0(tf.constant(v, tf.float64))) for v in (-h, 0.0, h)]
differences = (values[0] - 2 * values[1] + values[2]) / h**2
print(f"at 0: {second(0.0)}, at 1e-6: {second(1e-6):.6f}, differences at 0: {differences:.6f}")
assert second(0.0) == 1.0 and abs(second(1e-6) - 0.5) < 1e-5 and abs(differences - 0.5) < 1e-5
PYTHON
