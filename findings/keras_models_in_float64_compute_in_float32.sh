#!/usr/bin/env bash
# Keras on PyTorch and on JAX (with `jax_enable_x64`): layers under `keras.config.set_floatx("float64")`, as for second
# differences, against the same formula in NumPy.
#
# Guess before it was run: weights, inputs and results are float64, so there are 15 to 16 digits. JAX needs its switch,
# PyTorch nothing.
# Seen: the weights and the results say float64, and of the numbers 7 digits are right: on PyTorch of `Dense` and of
# every normalisation, on JAX of the normalisations. Keras takes float32 for the common dtype of
# float64 and float64 there, and casts back at the end. A second difference with a step of 1e-4 is noise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 keras==3.15.1 numpy==2.4.6 torch==2.13.0
cat > "$folder/seen.py" <<'PYTHON'
import os

os.environ["JAX_ENABLE_X64"] = "1"
import keras
import numpy as np

backend = keras.config.backend()
keras.config.set_floatx("float64")
keras.utils.set_random_seed(0)
print("keras", keras.__version__, "on", backend)
x = 3 * np.random.default_rng(0).normal(size=(6, 4))
centred = x - x.mean(1, keepdims=True)
dense = keras.layers.Dense(3)
dense.build(x.shape)
weight = np.asarray(keras.ops.convert_to_numpy(dense.kernel))

cases = {
    "Dense": (dense, x, x @ weight),
    "LayerNormalization": (keras.layers.LayerNormalization(), x, centred / np.sqrt(x.var(1, keepdims=True) + 1e-3)),
    "RMSNormalization": (keras.layers.RMSNormalization(), x, x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6)),
    "BatchNormalization": (keras.layers.BatchNormalization(), x, x / np.sqrt(1 + 1e-3)),
    "gelu": (keras.activations.gelu, np.ones((1, 1)), np.array([[0.8413447460685429]])),
}
off = {}
for name, (layer, at, truth) in cases.items():
    found = keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(at, "float64")))
    off[name] = float(np.max(np.abs(found - truth)) / np.max(np.abs(truth)))
    print(f"{name}: {found.dtype}, off by {off[name]:.1g}")
    assert found.dtype == np.float64
assert dense.kernel.dtype == dense.compute_dtype == "float64"
wide = {"gelu"} if backend == "torch" else {"gelu", "Dense"}
assert all((share < 1e-14) == (name in wide) for name, share in off.items()), off

smooth = keras.Sequential([keras.Input((1,)), keras.layers.Dense(8, "tanh"), keras.layers.LayerNormalization(), keras.layers.Dense(1)])


def second_difference(h):
    low, middle, high = keras.ops.convert_to_numpy(smooth(np.array([[0.5 - h], [0.5], [0.5 + h]]))).ravel()
    return (low - 2 * middle + high) / h**2


fine, coarse = second_difference(1e-4), second_difference(1e-2)
print(f"second difference of a network with a step of 1e-4: {fine:.3f}, of 1e-2: {coarse:.3f}")
assert abs(fine - coarse) > 0.1
PYTHON
for backend in torch jax; do
    KERAS_BACKEND=$backend JAX_PLATFORMS=cpu "$folder/bin/python" "$folder/seen.py"
done
