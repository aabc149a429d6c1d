#!/usr/bin/env bash
# In TensorFlow the second derivative of `reduce_euclidean_norm` is NaN where its weight is 0.
#
# Guess before it was run: a term of weight 0 has second derivatives of 0, as its first ones are.
# Seen: NaN, at points where the norm is smooth. The gradient divides by the upstream gradient; and in
# a batch the Jacobian of each example's gradient has a weight of 0 for all the others.
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
x = tf.constant([[3.0, 4.0], [1.0, 2.0]])


def hessian(norm):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(norm(x) * tf.constant([1.0, 0.0]))
        gradient = inner.gradient(y, x)
    return gradient.numpy(), outer.jacobian(gradient, x).numpy().reshape(4, 4)


slope, found = hessian(lambda x: tf.math.reduce_euclidean_norm(x, axis=1))
_, right = hessian(lambda x: tf.sqrt(tf.reduce_sum(x**2, axis=1)))
print("gradient:", slope.tolist())
print("second derivatives:\n", found, "\nof the same, by sqrt:\n", right)
assert np.array_equal(slope[1], [0, 0]) and np.isfinite(right).all()
assert np.isnan(found[:, 2:]).all() and np.allclose(found[:2, :2], right[:2, :2])
PYTHON
