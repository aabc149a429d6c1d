#!/usr/bin/env bash
# Keras: one epoch by SGD in batches of 8, and in batches of 2 with `gradient_accumulation_steps=4`, with a learning rate that
# halves with every step by a schedule, and with averaged weights (`use_ema`).
#
# Guess before it was run: the same weights to rounding. The accumulated gradient is the mean that the large batch has,
# `optimizer.iterations` counts updates, Adam corrects its bias by it, and so the schedule goes by updates too.
# Seen: with a fixed learning rate the weights are the same. The schedule counts the small batches: the first update is
# made at an eighth of the learning rate, and a decay that was laid out for the updates is over after a quarter of
# them. The average is moved with every small batch too, so that it forgets four times as fast.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install keras==3.15.1 numpy==2.4.6 torch==2.13.0
export KERAS_BACKEND=torch
"$folder/bin/python" - <<'PYTHON'
import keras
import numpy as np

print("keras", keras.__version__)
x = np.random.default_rng(0).normal(size=(32, 2)).astype("float32")


def trained(rate, batch_size, accumulation=None, **options):
    """The weights after an epoch of 32 examples, their average, and the updates that were counted."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    optimizer = keras.optimizers.SGD(rate, gradient_accumulation_steps=accumulation, **options)
    model.compile(optimizer, "mse")
    model.fit(x, np.zeros((32, 1)), batch_size=batch_size, shuffle=False, verbose=0)
    weights = model.get_weights()[0].ravel()
    if options:
        optimizer.finalize_variable_values(model.trainable_variables)
    return weights, model.get_weights()[0].ravel(), int(keras.ops.convert_to_numpy(optimizer.iterations))


def halved():
    return keras.optimizers.schedules.ExponentialDecay(0.2, decay_steps=1, decay_rate=0.5)


(fixed, _, updates), (fixed_small, _, updates_small) = trained(0.1, 8), trained(0.1, 2, 4)
(scheduled, *_), (scheduled_small, *_) = trained(halved(), 8), trained(halved(), 2, 4)
print("updates counted:", updates, updates_small)
print("fixed rate:", fixed, "accumulated:", fixed_small)
print("schedule:  ", scheduled, "accumulated:", scheduled_small)
assert updates == updates_small == 4
assert np.allclose(fixed, fixed_small, atol=1e-6)
moved = (1 - scheduled_small) / (1 - scheduled)
print("moved", moved, "times as far")
assert (moved < 0.2).all()

options = {"use_ema": True, "ema_momentum": 0.5}
(_, average, _), (_, average_small, _) = trained(0.1, 8, **options), trained(0.1, 2, 4, **options)
print("average:   ", average, "accumulated:", average_small)
assert np.abs(average - average_small).max() > 0.02
PYTHON
