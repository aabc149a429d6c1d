"""Says at the import of the library which of Keras's backends it needs."""

from __future__ import annotations

from keras_curvature.engines.active_backend import BACKEND, IS_INSTALLED

SUPPORTED = {
    "tensorflow": "tensorflow",
    "jax": "'keras-curvature[jax]'",
    "torch": "'keras-curvature[torch]'",
}
"""Backends, and what to install for them."""

if BACKEND not in SUPPORTED:
    raise ImportError(
        "keras_curvature needs Keras's backend 'tensorflow', 'jax' or 'torch'. Received: "
        f"{BACKEND!r}. Set the environment variable KERAS_BACKEND=tensorflow before Keras is "
        'imported, or "backend" in ~/.keras/keras.json; models saved with another backend can be '
        "loaded."
    )
if not IS_INSTALLED:
    raise ImportError(
        f"Keras's backend {BACKEND!r} was chosen and is not installed. "
        f"Install it: pip install {SUPPORTED[BACKEND]}; or choose another with the environment "
        'variable KERAS_BACKEND, or "backend" in ~/.keras/keras.json.'
    )
