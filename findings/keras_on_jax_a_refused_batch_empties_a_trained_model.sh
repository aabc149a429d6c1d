#!/usr/bin/env bash
# Keras on JAX: a trained model is given a batch with a column too many in its next `fit`. The error
# is right and is caught; then the model is asked for its weights, as one does in a notebook.
#
# Guess before it was run: an error before the first step changes nothing. The same call of a model
# that was never trained, an error in a callback, and the other backends leave the weights as they are.
# Seen: every variable of the trained model has lost its value. `get_weights` and a call raise an error
# about `None`, and what was learned is gone unless it was saved. Before the first `fit` Keras tries
# the step symbolically, and refuses there; afterwards its JAX trainer takes the values out of the
# variables for the time of the epoch and does not put them back where tracing the step raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    jax==0.10.2 jaxlib==0.10.2 keras==3.15.1 numpy==2.4.6
export KERAS_BACKEND=jax JAX_PLATFORMS=cpu
"$folder/bin/python" - <<'PYTHON'
import jax
import keras
import numpy as np

print("keras", keras.__version__, "jax", jax.__version__)
x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")


class Failing(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise RuntimeError("stop")


def left(fits_before, x, callbacks=()):
    """What is left of a model whose last `fit` raised."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    for _ in range(fits_before):
        model.fit(x[:, :2], y, verbose=0)
    try:
        model.fit(x, y, verbose=0, callbacks=list(callbacks))
    except (RuntimeError, ValueError) as error:
        kind = type(error).__name__
    try:
        return f"{kind}, then {len(model.get_weights())} arrays of weights"
    except Exception as error:
        return f"{kind}, then {type(error).__name__}: {error}"


wide = np.ones((8, 3), "float32")
found = {
    "never trained, a column too many": left(0, wide),
    "trained, a callback that raises": left(1, x, [Failing()]),
    "trained, a column too many": left(1, wide),
}
for case, what in found.items():
    print(f"{case}: {what}")
*kept, lost = found.values()
assert all(what.endswith("2 arrays of weights") for what in kept), kept
assert lost.startswith("ValueError, then TypeError"), lost
PYTHON
