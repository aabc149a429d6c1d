"""Which backend Keras runs on, and what of this library is its own."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

SUPPORTED = ("tensorflow",)

OTHERS = ("jax", "numpy", "openvino", "torch")


def _supported() -> str:
    """The name of the backend.

    Raises:
        ImportError: where Keras runs, or is about to run, on one that this library does not know.
    """
    try:
        import keras

        backend = keras.config.backend()
    except ImportError as error:  # Keras starts its backend, which may not be installed
        backend = os.environ.get("KERAS_BACKEND") or error.name
        if backend not in OTHERS:
            raise
    if backend not in SUPPORTED:
        raise ImportError(
            f"keras_curvature needs Keras's backend 'tensorflow'. Received: {backend!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow before Keras is imported, or "
            '"backend" in ~/.keras/keras.json; models saved with another backend can be loaded.'
        )
    return str(backend)


BACKEND = _supported()


def own_module(name: str) -> ModuleType:
    """What `engines/<backend>/` has under a name."""
    return importlib.import_module(f"keras_curvature.engines.{BACKEND}.{name}")
