"""Which backend Keras runs on, and what of this library is its own."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

OTHERS = ("jax", "numpy", "openvino", "torch")


def _backend() -> tuple[str, bool]:
    try:
        import keras

        return str(keras.config.backend()), True
    except ImportError as error:  # Keras starts its backend, which may not be installed
        backend = os.environ.get("KERAS_BACKEND") or error.name
        if backend not in OTHERS and error.name != "tensorflow":
            raise
        return str(backend), False


BACKEND, IS_INSTALLED = _backend()


def own_module(name: str) -> ModuleType:
    """What `engines/<backend>/` has under a name."""
    return importlib.import_module(f"keras_curvature.engines.{BACKEND}.{name}")
