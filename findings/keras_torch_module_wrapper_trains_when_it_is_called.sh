#!/usr/bin/env bash
# Keras on PyTorch: a `torch.nn.BatchNorm1d` and a `torch.nn.Dropout` in a `keras.layers.TorchModuleWrapper`, and Keras's own
# two layers, in a model that is called plainly, frozen, and given the weights of another one.
#
# Guess before it was run: the wrapper is a Keras layer, so a plain call is inference, `trainable = False` freezes the
# statistics as it does with `BatchNormalization`, and `get_weights` has all that the model computes with.
# Seen: neither. A plain call of the model is one in training mode: the outputs are random, and the running mean moves
# with each call; frozen, it moves on in training. `get_weights` leaves the running mean and variance out, so that
# `EarlyStopping(restore_best_weights=True)` puts the best weights beside the last statistics. With
# `training=False` a call is inference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install keras==3.15.1 numpy==2.4.6 torch==2.13.0
export KERAS_BACKEND=torch
"$folder/bin/python" - <<'PYTHON'
import keras
import numpy as np
import torch

print("keras", keras.__version__)
x = np.random.default_rng(0).normal(2.0, size=(16, 3)).astype("float32")


def wrapped():
    inner = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5))
    model = keras.Sequential([keras.Input((3,)), keras.layers.TorchModuleWrapper(inner)])
    return model, lambda: inner[0].running_mean.numpy().copy()


def native():
    normalised = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((3,)), normalised, keras.layers.Dropout(0.5)])
    return model, lambda: keras.ops.convert_to_numpy(normalised.moving_mean).copy()


def seen(make):
    keras.utils.set_random_seed(0)
    model, mean = make()
    start = mean()
    repeatable = torch.equal(model(x), model(x))
    kept = np.array_equal(start, mean())
    assert torch.equal(model(x, training=False), model(x, training=False))
    model.predict(x, verbose=0)
    model.compile("sgd", "mse")
    model.fit(x, x, verbose=0)
    other, _ = make()
    other.set_weights(model.get_weights())
    follows = np.allclose(model.predict(x, verbose=0), other.predict(x, verbose=0), atol=1e-5)
    model.trainable = False
    start = mean()
    model(x, training=True)
    frozen = np.array_equal(start, mean())
    print(f"{make.__name__}: plain call repeatable {repeatable}, keeps the mean {kept}; frozen keeps it {frozen};"
          f" another one with its weights computes the same {follows}")
    return repeatable, kept, frozen, follows


assert seen(native) == (True, True, True, True)
assert seen(wrapped) == (False, False, False, False)
PYTHON
