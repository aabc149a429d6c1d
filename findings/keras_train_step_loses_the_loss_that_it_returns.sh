#!/usr/bin/env bash
# A Keras train_step that returns {'loss': loss} shows a loss of 0.0.
#
# Guess before it was run: History has the number that `train_step` returns.
# Seen: in a compiled model whose only metric is its loss, the returned dict has the keys of the
# metrics, so Keras shows these: its own tracker, which nobody updated. EarlyStopping watches 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON'
import keras
import numpy as np
import tensorflow as tf

print("keras", keras.__version__)


class Physics(keras.Model):
    def __init__(self):
        super().__init__()
        self.net = keras.layers.Dense(1)

    def call(self, x):
        return self.net(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {self.shown: loss}


def history(shown):
    keras.utils.set_random_seed(0)
    model = Physics()
    model.shown = shown
    model.compile("sgd", "mse")
    x = np.ones((8, 2), "float32")
    return model.fit(x, 10 * x[:, :1], verbose=0).history


found, named = history("loss"), history("residual")
print("returned under 'loss':", found)
print("returned under another name:", named)
assert found["loss"] == [0.0] and named["residual"][0] > 1
PYTHON
