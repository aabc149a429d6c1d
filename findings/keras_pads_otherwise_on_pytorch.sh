#!/usr/bin/env bash
# Keras: the same layers without weights on JAX and on PyTorch, as a saved model has them that is
# loaded on another backend: symmetric padding, bicubic upsampling, and some others, of whole numbers.
#
# Guess before it was run: other roundings in the seventh digit, or an error where a backend lacks
# something.
# Seen: two of them are other functions, without a word. On PyTorch "symmetric" repeats the edge (NumPy
# and JAX mirror at it), and bicubic upsampling has another cubic. Such a model's derivatives are others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 keras==3.15.1 numpy==2.4.6 torch==2.13.0
cat > "$folder/values.py" <<'PYTHON'
import sys

import keras
import numpy as np

x = np.arange(25.0, dtype="float32").reshape(1, 5, 5, 1)
around = ((0, 0), (2, 2), (2, 2), (0, 0))
layers = {
    "symmetric padding": lambda: keras.ops.pad(x, around, mode="symmetric"),
    "average pooling": lambda: keras.layers.AveragePooling2D(3, 1, padding="same")(x),
    "bicubic upsampling": lambda: keras.layers.UpSampling2D(2, interpolation="bicubic")(x),
    "reflected padding": lambda: keras.ops.pad(x, around, mode="reflect"),
    "max pooling": lambda: keras.layers.MaxPooling2D(3, 1, padding="same")(x),
    "bilinear upsampling": lambda: keras.layers.UpSampling2D(2, interpolation="bilinear")(x),
}
values = {name: keras.ops.convert_to_numpy(layer()) for name, layer in layers.items()}
values["numpy"] = np.pad(x, around, mode="symmetric")
np.savez(sys.argv[1], **values)
print("keras", keras.__version__, "on", keras.config.backend())
PYTHON
for backend in jax torch; do
    KERAS_BACKEND=$backend JAX_PLATFORMS=cpu "$folder/bin/python" "$folder/values.py" "$folder/$backend.npz"
done
"$folder/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np

one, other = (np.load(f"{sys.argv[1]}/{name}.npz") for name in ("jax", "torch"))
apart = {name: float(np.abs(one[name] - other[name]).max()) for name in one.files}
for name, largest in apart.items():
    print(f"{name}: up to {largest:.3g} apart, of numbers up to 24")
print("corner on PyTorch:", other["symmetric padding"][0, 0, :3, 0], "NumPy's:", one["numpy"][0, 0, :3, 0])
assert np.array_equal(one["symmetric padding"], one["numpy"])
differ = [name for name, largest in apart.items() if largest > 0.1]
assert differ == ["symmetric padding", "bicubic upsampling"], differ
PYTHON
