#!/usr/bin/env bash
# A key too many in a dict of inputs moves the others to the wrong inputs of a Keras model.
#
# Guess before it was run: it is dropped, or an error: the model is made of a dict with names.
# Seen: the arrays are laid over the inputs in the order of the alphabet, and the last one is
# dropped, with a warning only. In `fit` and `predict` too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON'
import warnings

import keras
import numpy as np

print("keras", keras.__version__)
a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
model = keras.Model({"a": a, "b": b}, keras.layers.Lambda(lambda t: t[0] - 10 * t[1])([a, b]))
one, two, five = (np.full((1, 1), v, "float32") for v in (1, 2, 5))
exact = model.predict({"a": one, "b": two}, verbose=0).item()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = model.predict({"A0": five, "a": one, "b": two}, verbose=0).item()
print("a - 10 b at a = 1, b = 2:", exact)
print("the same with a key A0 = 5 beside them:", found, "which is A0 - 10 a")
print("warned:", [str(w.message)[:90] for w in caught])
listed = keras.Model([a, b], keras.layers.Lambda(lambda t: t[0] - 10 * t[1])([a, b]))
by_name = listed.predict({"A0": five, "a": one, "b": two}, verbose=0).item()
print("a model made of a list picks by name:", by_name)
assert (exact, found, by_name) == (-19.0, -5.0, -19.0)
PYTHON
