"""Loads a Keras model from a file, in Keras's safe mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_curvature_cli.faults import UnusableError


def require_loadable(path: Path) -> None:
    """Checks what can be checked without TensorFlow.

    Raises:
        UnusableError: for a file that is missing or of another format.
    """
    if path.suffix != ".keras":
        raise UnusableError(
            "A model must be a .keras file, as model.save('model.keras') writes it: other formats "
            f"are not loaded because they can run code. Received: {path}."
        )
    if not path.is_file():
        raise UnusableError(f"There is no file {path}.")


def load(path: Path) -> Any:
    """Loads a model without its optimizer and without running code from the file.

    Raises:
        UnusableError: for a file that cannot be loaded safely.
    """
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise UnusableError(
            f"Keras cannot load {path} in safe mode, in which no code from the file is run "
            f"(Lambda layers of Python code are such): {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
