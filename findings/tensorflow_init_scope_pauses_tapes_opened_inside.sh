#!/usr/bin/env bash
# A gradient tape that is opened inside `tf.init_scope` records nothing.
#
# Guess before it was run: `init_scope` lifts ops out of the graph, and pauses the tapes outside of it;
# one opened within records as everywhere.
# Seen: None for the derivative of x² by x, eagerly, without a warning. Code that is kept out of
# somebody else's graph by `init_scope` cannot differentiate there.
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
x = tf.constant(2.0)


def derivative():
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    return tape.gradient(y, x)


outside = derivative()
with tf.init_scope():
    inside = derivative()
print("outside:", outside.numpy(), "inside init_scope:", inside)
assert outside.numpy() == 4.0 and inside is None
PYTHON
