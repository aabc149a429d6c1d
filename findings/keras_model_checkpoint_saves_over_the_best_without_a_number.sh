#!/usr/bin/env bash
# ModelCheckpoint(save_best_only=True) overwrites the best file in an epoch without the number.
#
# Guess before it was run: without the monitored number there is nothing to compare, so it does not save.
# Seen: it warns that it skips, and saves: the best weights are lost. A callback that measures every
# second epoch makes it so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.1
export CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow
"$folder/bin/python" - <<'PYTHON'
import os
import tempfile
import warnings

import keras
import numpy as np

print("keras", keras.__version__)
path = os.path.join(tempfile.mkdtemp(), "best.weights.h5")
model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
best = keras.callbacks.ModelCheckpoint(
    path, monitor="curvature", mode="min", save_best_only=True, save_weights_only=True
)
best.set_model(model)
best.on_train_begin()
said = []
for epoch, (weight, logs) in enumerate([(1.0, {"curvature": 0.1}), (2.0, {})]):
    model.set_weights([np.full((1, 1), weight)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        best.on_epoch_end(epoch, logs)
    said += [str(w.message) for w in caught]
model.load_weights(path)
kept = model.get_weights()[0].item()
print("epoch 0 had the number and the weight 1.0, epoch 1 no number and the weight 2.0")
print("warned:", said)
print("the file of the best has the weight", kept)
assert kept == 2.0 and said
PYTHON
