#!/usr/bin/env bash
# Keras on JAX: `keras.distribution.DataParallel` over two devices, with a number of examples that leaves one
# for the last batch, in `fit`, `evaluate` and `predict`.
#
# Guess before it was run: as on one device. The last batch is put on one of them, padded or left out.
# Seen: IndivisibleError from inside JAX in all three, in `fit` at the end of the first epoch, after all whole batches
# were trained on; a last batch of two works. After `evaluate` and `predict` the model's weights cannot be
# read any more: two batches of four were done, the third took the model with it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 keras==3.15.1 numpy==2.4.6
XLA_FLAGS=--xla_force_host_platform_device_count=2 KERAS_BACKEND=jax JAX_PLATFORMS=cpu \
    "$folder/bin/python" - <<'PYTHON'
import keras
import numpy as np

print("keras", keras.__version__, "on", keras.distribution.list_devices())
keras.distribution.set_distribution(keras.distribution.DataParallel())


def tried(n, what):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(n, 3)).astype("float32")
    data = (x,) if what == "predict" else (x, x[:, :1])
    try:
        getattr(model, what)(*data, batch_size=4, verbose=0)
        said = "works"
    except Exception as error:
        said = type(error).__name__
    try:
        model.get_weights()
        left = "weights are there"
    except Exception as error:
        left = f"weights: {error}"[:60]
    print(f"{what} of {n} examples by 4: {said}; {left}")
    return said, left


for what in ("fit", "evaluate", "predict"):
    assert tried(10, what)[0] == "works"
    said, left = tried(9, what)
    assert said == "IndivisibleError"
    assert (left == "weights are there") == (what == "fit")
PYTHON
