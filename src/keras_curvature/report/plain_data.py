"""Numbers, names and arrays as plain data: what JSON has, and nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain_data(value: Any) -> Any:
    """Dicts, lists, strings, ints, floats, booleans and `None` in place of what holds them.

    Data classes become dicts, arrays lists, NumPy's numbers Python's. A number that is not finite
    becomes `None`: JSON has no NaN, and Python's would write one that no other reader takes.

    Args:
        value: a number, a string, `None`, an array, a data class, or mappings and sequences of
            these.

    Raises:
        TypeError: for anything else.

    Example:
        >>> plain_data({"rms": np.float32(0.5), "max": float("nan"), "at": np.array([1, 2])})
        {'rms': 0.5, 'max': None, 'at': [1, 2]}
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return plain_data(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_data(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(one) for one in value]
    raise TypeError(
        "Plain data are made of numbers, strings, arrays, data classes, mappings and sequences. "
        f"Received: {value!r}."
    )
