#!/usr/bin/env bash
# The first derivative of TensorFlow's projective image transform by the image is not its transposed.
#
# Guess before it was run: resampling is linear in the image, so its gradient is the transposed matrix.
# Seen: the gradient resamples with the inverse transform. For a pure shift that is right, for a
# magnification far off, in first order, without a word; by the transform itself it is not there.
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


def resampled(image, transform):
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image, transforms=transform, output_shape=[5, 5], fill_value=0.0,
        interpolation="BILINEAR",
    )


def worst(transform):
    transform = tf.constant([transform], tf.float32)
    basis = tf.reshape(tf.eye(25), [25, 5, 5, 1])
    columns = tf.reshape(resampled(basis, transform), [25, 25])  # it is linear: exact
    weights = tf.constant(np.random.default_rng(0).normal(size=(1, 5, 5, 1)), tf.float32)
    image = tf.zeros((1, 5, 5, 1))
    with tf.GradientTape() as tape:
        tape.watch(image)
        total = tf.reduce_sum(weights * resampled(image, transform))
    exact = tf.linalg.matvec(columns, tf.reshape(weights, [-1]))
    found = tf.reshape(tape.gradient(total, image), [-1])
    return float(tf.norm(found - exact) / tf.norm(exact))


shift, smaller = worst([1, 0, 0.3, 0, 1, 0, 0, 0]), worst([2, 0, 0, 0, 2, 0, 0, 0])
turned = worst([0.9, -0.4, 1.0, 0.4, 0.9, -0.6, 0, 0])
print(f"gradient by the image, off by {shift:.0%} for a shift of 0.3 pixels,")
print(f"by {turned:.0%} for a turn, by {smaller:.0%} where every second pixel is taken")
transform = tf.constant([[1, 0, 0.3, 0, 1, 0, 0, 0]], tf.float32)
image = tf.reshape(tf.range(25.0), [1, 5, 5, 1])
with tf.GradientTape() as tape:
    tape.watch(transform)
    y = tf.reduce_sum(resampled(image, transform))
by_transform = tape.gradient(y, transform)
moved = float(tf.reduce_sum(resampled(image, transform + tf.constant([[0, 0, 0.1] + 5 * [0.0]]))) - y)
print(f"gradient by the transform: {by_transform}; a further shift of 0.1 changes the sum by {moved:.2f}")
assert shift < 1e-6 and turned > 0.05 and smaller > 0.3
assert by_transform is None and abs(moved) > 0.1
PYTHON
