"""Says at the import of the library that it needs Keras's TensorFlow backend."""

from __future__ import annotations

import os

OTHERS = ("jax", "numpy", "openvino", "torch")


def require_tensorflow() -> None:
    """Raises ImportError where Keras runs, or is about to run, on another backend."""
    try:
        import keras

        backend = keras.config.backend()
    except ImportError as error:  # Keras starts its backend, which may not be installed
        backend = os.environ.get("KERAS_BACKEND") or error.name
        if backend not in OTHERS:
            raise
    if backend != "tensorflow":
        raise ImportError(
            f"keras_curvature needs Keras's backend 'tensorflow'. Received: {backend!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow before Keras is imported, or "
            '"backend" in ~/.keras/keras.json; models saved with another backend can be loaded.'
        )


require_tensorflow()
