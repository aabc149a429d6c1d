#!/usr/bin/env bash
# A Keras model of two named inputs, called with an OrderedDict: the values go to the wrong inputs.
#
# Guess before it was run: a model made of a dict of inputs takes any mapping by its keys, in
# whatever order; and `predict` gives for the same numbers what it gave before.
# Seen: a plain dict is taken by key. The same numbers in an OrderedDict whose order is not that of
# the alphabet are swapped without a warning, by the call and by `predict`, but not by a `predict`
# that has been given a plain dict before. A model made of an OrderedDict swaps those of a plain dict.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON'
from collections import OrderedDict

import keras
import numpy as np

print("keras", keras.__version__)
spot, strike = keras.Input((1,), name="spot"), keras.Input((1,), name="strike")
payoff = keras.layers.Subtract()([spot, strike])
named = {"strike": strike, "spot": spot}
x = {"strike": np.array([[1.0]]), "spot": np.array([[10.0]])}


def model_of(inputs):
    return keras.Model(inputs, payoff)


def predicted(model, given):
    return model.predict(given, verbose=0)


model, asked_before, ordered = model_of(named), model_of(named), model_of(OrderedDict(named))
predicted(asked_before, x)
found = {
    "made of a dict, called with a dict": model(x),
    "made of a dict, called with an OrderedDict": model(OrderedDict(x)),
    "predict of an OrderedDict": predicted(model, OrderedDict(x)),
    "predict of an OrderedDict after one of a dict": predicted(asked_before, OrderedDict(x)),
    "made of an OrderedDict, called with a dict": ordered(x),
    "made of an OrderedDict, called with an OrderedDict": ordered(OrderedDict(x)),
}
print("spot 10 - strike 1 is 9:")
for what, y in found.items():
    print(f"  {what}: {float(np.asarray(y).item())}")
assert [float(np.asarray(y).item()) for y in found.values()] == [9, -9, -9, 9, -9, 9]
PYTHON
