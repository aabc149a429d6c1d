"""What a function computes besides its tensors, read off the function itself.

Compiled functions are kept under this key, so no caller has to know what its own closure holds.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable
from typing import Any

from keras_curvature.engines.arrays import xp

IMMUTABLE = (types.BuiltinFunctionType, types.ModuleType, type, type(xp.dtype_of("float32")))
"""Things that are what they are for as long as they live: the object itself is the key."""


def key_of(compute: Callable[..., Any]) -> Hashable:
    """Equal for two functions of the same code whose closures hold equal constants.

    Args:
        compute: a function, a `functools.partial`, or a function that such a one is made of.

    Raises:
        TypeError: if the closure holds what can change under the same key, an array, a tensor or
            an object with a state: it has to be given as a tensor when the function is called.

    Example:
        >>> def times(factor):
        ...     return lambda x: factor * x
        >>> key_of(times(2)) == key_of(times(2)), key_of(times(2)) == key_of(times(3))
        (True, False)
    """
    if isinstance(compute, functools.partial):
        return functools.partial, key_of(compute.func), _key(compute.args), _key(compute.keywords)
    if not isinstance(compute, types.FunctionType):
        raise TypeError(f"`compute` must be a function. Received: {compute!r}.")
    cells = zip(compute.__code__.co_freevars, compute.__closure__ or (), strict=True)
    held = tuple(_named(compute, name, cell.cell_contents) for name, cell in cells)
    # The code alone does not say which module its globals are of.
    return compute.__module__, compute.__code__, held, _key(compute.__defaults__)


def _named(compute: Callable[..., Any], name: str, value: Any) -> Hashable:
    try:
        return _key(value)
    except TypeError as error:
        raise TypeError(
            f"`{name}`, which {compute.__qualname__} refers to, must be a constant to be part of "
            f"what is compiled once. Received: {type(value).__name__}. Give it as a tensor. {error}"
        ) from error


def _key(value: Any) -> Hashable:
    if isinstance(value, (tuple, list)):
        return type(value), tuple(map(_key, value))
    if isinstance(value, dict):
        return tuple((key, _key(item)) for key, item in value.items())
    if isinstance(value, (types.FunctionType, functools.partial)):
        return key_of(value)
    if value is None or isinstance(value, IMMUTABLE):
        return value
    if type(value).__eq__ is vars(object)["__eq__"]:
        raise TypeError("Two of them are told apart by their address alone.")
    if hasattr(value, "identity"):
        return value.identity  # which does not hold on to the value
    hash(value)  # raises for what can change: arrays, eager tensors, sets
    return type(value), value  # 1, 1.0 and True are not the same constant
