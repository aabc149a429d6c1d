#!/usr/bin/env bash
# TensorFlow's batch Jacobian of a roll along axis -1 is that of another function, without a word.
#
# Guess before it was run: `batch_jacobian` gives the same with and without `experimental_use_pfor`,
# which its documentation calls a choice of speed and memory.
# Seen: by default (pfor) the roll goes along another axis: periodic differences, the derivative of
# many a layer for a differential equation, get a Jacobian whose rows belong to other outputs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON'
import numpy as np
import tensorflow as tf

print("tensorflow", tf.__version__)
x = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def jacobian(axis, pfor):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.roll(x**2, 1, axis=axis)
    return tape.batch_jacobian(y, x, experimental_use_pfor=pfor).numpy()[0]


for axis in (1, -1):
    by_default, by_loop = jacobian(axis, True), jacobian(axis, False)
    print(f"axis {axis}, by default:\n{by_default}\naxis {axis}, one by one:\n{by_loop}")
    assert np.array_equal(by_loop, [[0, 0, 6], [2, 0, 0], [0, 4, 0]])
    assert np.array_equal(by_default, by_loop) == (axis == 1)
PYTHON
