#!/usr/bin/env bash
# Keras: the weights of one model with an adapted `Normalization` are set on another one, as in
# federated averaging, in restoring the best weights, or where a search goes on from another trial.
#
# Guess before it was run: the second model then does what the first one does, on every backend.
# Seen: on JAX it says the weights of the first (`get_weights` agrees) and computes with its own old
# mean and variance; on PyTorch it computes with the new ones. The layer works with tensors that
# `adapt` made of its weights; `set_weights` does not make them anew, `load_weights` and a saved
# model do. On PyTorch these tensors are views of the weights, so that they follow by accident.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 keras==3.15.1 numpy==2.4.6 torch==2.13.0
cat > "$folder/seen.py" <<'PYTHON'
import keras
import numpy as np


def model(data):
    layer = keras.layers.Normalization()
    layer.adapt(data)
    return keras.Sequential([keras.Input((1,)), layer])


low, high = model(np.array([[0.0], [2.0]])), model(np.array([[100.0], [300.0]]))
low.set_weights(high.get_weights())
x = np.array([[100.0], [300.0]], "float32")
same = all(map(np.array_equal, low.get_weights(), high.get_weights()))
print("keras", keras.__version__, "on", keras.config.backend())
print("get_weights agree:", same)
print("given weights:", low.predict(x, verbose=0).ravel(), "theirs:", high.predict(x, verbose=0).ravel())
follows = np.allclose(low.predict(x, verbose=0), high.predict(x, verbose=0))
print("computes with them:", follows)
assert same
assert follows == (keras.config.backend() == "torch"), follows
PYTHON
for backend in jax torch; do
    KERAS_BACKEND=$backend JAX_PLATFORMS=cpu "$folder/bin/python" "$folder/seen.py"
done
