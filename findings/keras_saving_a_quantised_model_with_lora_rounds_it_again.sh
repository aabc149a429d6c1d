#!/usr/bin/env bash
# Keras: a model quantised to int8 or int4 and fine-tuned with LoRA, saved as .keras and loaded again.
#
# Guess before it was run: the same outputs to the last bit. The rounded weights are not trained, and the small
# matrices of LoRA are saved beside them in float32.
# Seen: another function. On saving LoRA is added to the weights and the sum is rounded to the grid anew: outputs
# move by 1 % (int8) and 11 % (int4), a third of what LoRA itself had changed, without a word. The value that a
# checkpoint was chosen by is not that of the model in it. Not quantised, LoRA comes back to the bit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 keras==3.15.1 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/bin/python" - "$folder" <<'PYTHON'
import sys

import keras
import numpy as np

print("keras", keras.__version__, "on", keras.config.backend())
x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")


def outputs(model):
    return keras.ops.convert_to_numpy(model(x))


def size(values):
    return float(np.sqrt(np.mean(values**2)))


off = {}
for mode in (None, "int8", "int4"):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(32, "tanh"), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    if mode:
        model.quantize(mode)
    before = outputs(model)
    for layer in model.layers:
        layer.enable_lora(4)
    assert np.array_equal(outputs(model), before)
    rng = np.random.default_rng(1)
    for layer in model.layers:  # as training would
        layer.lora_kernel_b.assign(0.05 * rng.normal(size=layer.lora_kernel_b.shape))
    tuned = outputs(model)
    model.save(f"{sys.argv[1]}/model.keras")
    loaded = outputs(keras.saving.load_model(f"{sys.argv[1]}/model.keras"))
    off[mode] = size(loaded - tuned) / size(tuned)
    print(
        f"{mode or 'float32'}: LoRA moved the outputs by {size(tuned - before) / size(before):.1%}, "
        f"saving and loading by {off[mode]:.1%}"
    )
assert off[None] == 0
assert off["int8"] > 0.003
assert off["int4"] > 0.03
PYTHON
