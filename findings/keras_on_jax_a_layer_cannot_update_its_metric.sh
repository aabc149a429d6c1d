#!/usr/bin/env bash
# A Keras layer that keeps a `keras.metrics.Mean` and updates it in `call`, trained on two backends.
#
# Guess before it was run: Keras collects a layer's metrics into `model.metrics` on every backend, so
# what a layer reports while it is called shows in the logs of `fit` on JAX as it does on TensorFlow.
# Seen: on TensorFlow the logs have the mean. On JAX `fit` raises "'NoneType' object is not callable"
# in the middle of the first step: the trainer empties the metrics' variables before it calls the
# model, and hands their values to the loss only. `evaluate`, which is asked first here, fails too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.6 jax==0.10.2 jaxlib==0.10.2
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 JAX_PLATFORMS=cpu
cat > "$folder/reporting.py" <<'PYTHON'
import keras
import numpy as np


class Reporting(keras.layers.Layer):
    """Passes its input on, and reports how large it is."""

    def __init__(self):
        super().__init__()
        self.size = keras.metrics.Mean(name="size")

    def call(self, inputs):
        self.size.update_state(keras.ops.mean(keras.ops.abs(inputs)))
        return inputs


x = np.full((8, 2), 3.0, "float32")
model = keras.Sequential([keras.Input((2,)), Reporting(), keras.layers.Dense(1)])
model.compile("sgd", "mse")
found = []
for ask in ("evaluate", "fit"):
    try:
        logs = getattr(model, ask)(x, x[:, :1], verbose=0)
        size = logs.history["size"][0] if ask == "fit" else "numbers"
        found.append(f"{ask}: {size}")
    except TypeError as error:
        found.append(f"{ask}: {str(error).splitlines()[-1][:120]}")
        found[-1] = f"{ask}: TypeError" if "NoneType" in str(error) else found[-1]
print(f"keras {keras.__version__} on {keras.config.backend()}: " + "; ".join(found))
expected = {"tensorflow": ["evaluate: numbers", "fit: 3.0"], "jax": ["evaluate: TypeError", "fit: TypeError"]}
assert found == expected[keras.config.backend()], found
PYTHON
for backend in tensorflow jax; do
    KERAS_BACKEND=$backend "$folder/bin/python" "$folder/reporting.py"
done
