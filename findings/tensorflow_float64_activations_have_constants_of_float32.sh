#!/usr/bin/env bash
# TensorFlow: functions of `tf.nn` on float64 tensors, against NumPy in float64: the exact `gelu` and its second derivative,
# `leaky_relu` with a slope of 0.3 and `silu` with beta=1.1.
#
# Guess before it was run: the dtype in is the dtype out, and 15 digits are right, as they are of `elu` and `softplus`.
# Seen: 8 digits. The constants in them are Python numbers that become float32 before they become float64: the root of 2
# in `gelu` is 1.41421354, and `tf.cast(0.1, tf.float64)` is 0.10000000149. JAX and PyTorch have all digits, so a
# model with gelu that is moved between them differs in the eighth digit in float64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3
"$folder/bin/python" - <<'PYTHON'
import math

import numpy as np
import tensorflow as tf

print("tensorflow", tf.__version__)
at = np.linspace(-3.0, 3.0, 13)
x = tf.constant(at)
density = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
probability = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in at])


def second(f):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = f(x)
        slope = inner.gradient(y, x)
    return outer.gradient(slope, x)


cases = {
    "gelu": (tf.nn.gelu(x), at * probability),
    "gelu, second derivative": (second(tf.nn.gelu), (2 - at**2) * density),
    "leaky_relu": (tf.nn.leaky_relu(x, 0.3), np.where(at > 0, at, 0.3 * at)),
    "silu": (tf.nn.silu(x, beta=1.1), at / (1 + np.exp(-1.1 * at))),
    "elu": (tf.nn.elu(x), np.where(at > 0, at, np.expm1(at))),
    "softplus": (tf.nn.softplus(x), np.logaddexp(0, at)),
}
for name, (found, truth) in cases.items():
    off = float(np.max(np.abs(found.numpy() - truth)))
    print(f"{name}: {found.dtype.name}, off by {off:.1g}")
    assert found.dtype == tf.float64
    assert off < 1e-14 if name in ("elu", "softplus") else 1e-9 < off < 1e-6, name
print("tf.cast(0.1, tf.float64):", tf.cast(0.1, tf.float64).numpy())
assert tf.cast(0.1, tf.float64).numpy() == np.float32(0.1)
PYTHON
