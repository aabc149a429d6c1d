"""Loads a Keras model from a file, in Keras's safe mode."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_curvature_cli.faults import UnusableError


def require_loadable(path: Path) -> None:
    """Checks what can be checked without Keras.

    Raises:
        UnusableError: for a file that is missing or of another format.
    """
    if path.is_dir():
        raise UnusableError(
            f"A model must be a .keras file, as model.save('model.keras') writes it. Received: "
            f"{path}, a directory. Logs are what `keras-curvature view` and `export` take."
        )
    if path.suffix != ".keras":
        raise UnusableError(
            "A model must be a .keras file, as model.save('model.keras') writes it: other formats "
            f"are not loaded because they can run code. Received: {path}."
        )
    if not path.is_file():
        raise UnusableError(f"There is no file {path}.")


def load(path: Path, code: Sequence[Path] = (), *, compiled: bool = False) -> Any:
    """Loads a model without running code from the file.

    Args:
        path: of the model.
        code: Python files that define layers and functions of the model's own. They are run.
        compiled: with its loss, and so with the metrics and the optimizer.

    Raises:
        UnusableError: for a file that cannot be loaded safely, or run.
    """
    import keras

    own = {name: value for file in code for name, value in _defined_in(file).items()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
            return keras.saving.load_model(path, own, compile=compiled, safe_mode=True)
    except Exception as error:
        raise UnusableError(
            f"Keras cannot load {path} in safe mode, in which no code from the file is run "
            f"(Lambda layers of Python code are such): {_first_line(error)}. Of a layer, "
            "loss or function of your own give the Python file that defines it: --code layers.py."
        ) from error


def _defined_in(path: Path) -> dict[str, Any]:
    """The classes and functions that a Python file defines."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if path.suffix != ".py" or spec is None or spec.loader is None:
        raise UnusableError(f"--code must be a Python file, .py. Received: {path}.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.absolute().parent))  # for what lies beside it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UnusableError(f"--code {path} cannot be run: {_first_line(error)}") from error
    finally:
        sys.path.pop(0)
    return {
        name: value
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == path.stem
    }


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
