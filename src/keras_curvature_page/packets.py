"""How one step travels from the training to the page: a header and named arrays.

A packet is the bytes `KCV1`, the length of the header as uint32, the header as JSON, padded
with spaces to a multiple of 4, then the arrays as float32, one after the other; all numbers
little-endian. The header's `"arrays"` gives names and shapes in order. NaN and infinity,
which JSON does not have, are left to the arrays.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLUGIN = "curvature"
"""TensorBoard's name for the plugin: part of its addresses, and in every record's metadata."""

PROBE, STEPS = "probe", "steps"
"""The two series of every run and output: what stays the same, and what each step adds."""

DIAGNOSIS = "diagnosis"
"""A series of every run, whatever its outputs: what was found out about the model, in words."""

DISTANCES = "distances"
"""A series of an output that is estimated: the curvature over distances, measured at some steps."""

LARGEST = 1 << 20
"""Bytes beyond which a packet is not believed. What the monitor writes stays far below."""

_START = struct.Struct("<4sI")
_MAGIC = b"KCV1"


def pack(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """Makes a packet.

    Args:
        header: what JSON can hold; a float that is NaN or infinite becomes `null`.
        arrays: by name; kept as float32, so what is larger becomes infinite.

    Example:
        >>> packet = pack({"step": 3}, {"x": [[1.0, 2.0]]})
        >>> unpack(packet)
        ({'step': 3}, {'x': array([[1., 2.]], dtype=float32)})
    """
    with np.errstate(over="ignore"):
        floats = {name: np.asarray(array).astype("<f4") for name, array in arrays.items()}
    shapes = [[name, list(array.shape)] for name, array in floats.items()]
    text = json.dumps(finite({**header, "arrays": shapes}), allow_nan=False).encode("ascii")
    text += b" " * (-len(text) % 4)
    return b"".join([_START.pack(_MAGIC, len(text)), text, *(a.tobytes() for a in floats.values())])


def unpack(packet: bytes) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Opens a packet.

    Returns:
        The header without `"arrays"`, and the arrays.

    Raises:
        ValueError: if it is not a packet, is cut off, or does not fit its own header.
    """
    if len(packet) < _START.size or len(packet) > LARGEST:
        raise ValueError(f"A packet has 8 to {LARGEST} bytes. Received: {len(packet)}.")
    magic, length = _START.unpack_from(packet)
    if magic != _MAGIC or length % 4 or _START.size + length > len(packet):
        raise ValueError(f"A packet begins with {_MAGIC!r}. Received: {packet[:8]!r}.")
    try:
        header = json.loads(packet[_START.size : _START.size + length])
        shapes = [(str(name), tuple(map(_size, shape))) for name, shape in header.pop("arrays")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"A packet's header is JSON with names and shapes: {error}") from error
    place, arrays = _START.size + length, {}
    for name, shape in shapes:
        count = math.prod(shape)
        if place + 4 * count > len(packet):
            raise ValueError(f"The packet is cut off in {name!r}.")
        arrays[name] = np.frombuffer(packet, "<f4", count, place).reshape(shape)
        place += 4 * count
    if place != len(packet):
        raise ValueError(f"The packet has {len(packet) - place} bytes too many.")
    return header, arrays


def _size(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError(f"sizes are counts. Received: {number!r}.")
    return number


def finite(value: Any) -> Any:
    """The same with `None` for every number that JSON lacks."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
