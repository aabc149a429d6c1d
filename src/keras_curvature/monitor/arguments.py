"""Checks of what a monitor is given, before training starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def require_one_of(what: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises ValueError unless `value` is one of the words allowed."""
    if value not in allowed:
        raise ValueError(f"`{what}` must be one of {list(allowed)}. Received: {value!r}.")


def require_keras(model: Any) -> None:
    """Raises TypeError for a trained model that is none of Keras 3."""
    if not isinstance(model, keras.Layer):
        raise TypeError(
            "`CurvatureMonitor` must be given to a model of Keras 3. Received: a "
            f"{type(model).__name__} of {type(model).__module__}. Build it with `keras`; the "
            "functions, `keras_curvature.laplacian` and so on, take models of tf_keras too."
        )


def require_directory(log_dir: Any) -> None:
    """Raises TypeError for what can be no path, such as the known values."""
    if not isinstance(log_dir, str | os.PathLike | None):
        raise TypeError(
            "`log_dir` must be the path of a directory, for example 'logs/run1'. Received: a "
            f"{type(log_dir).__name__}. Known values go beside the points: `probe` as (x, y)."
        )


def require_part(model: Any) -> None:
    """Raises TypeError for what can be no part of a model, nor its name."""
    if not isinstance(model, keras.Layer | str | None):
        raise TypeError(
            "`model` must be a Keras model or layer inside the trained model, or its name. "
            f"Received: {model!r}."
        )


def require_name(name: Any) -> None:
    """Raises ValueError unless the name can be a folder and a part of tags and keys."""
    if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(
            "`name` must be made of letters, digits, '_' and '-': it becomes a folder and a "
            f"prefix. Received: {name!r}."
        )


def words(vocabulary: Any) -> list[str] | None:
    """The vocabulary as a list.

    Raises:
        TypeError: for anything but a sequence of words.
    """
    if vocabulary is None:
        return None
    # A dict or a set has an order too, but not that of the ids.
    array = isinstance(vocabulary, np.ndarray) and vocabulary.ndim == 1
    found = list(vocabulary) if array or isinstance(vocabulary, (list, tuple)) else []
    wrong = next((word for word in found if not isinstance(word, str)), None)
    if not found or wrong is not None:
        received = type(vocabulary).__name__ if wrong is None else f"{wrong!r} among the words"
        raise TypeError(
            "`vocabulary` must be a list of words, the one at i for the token id i, as from "
            "`TextVectorization.get_vocabulary()`. Of a dict from words to ids make one: "
            f"`sorted(ids, key=ids.get)`. Received: {received}."
        )
    return [str(word) for word in found]
