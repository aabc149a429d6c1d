"""Packets of many steps as one text, small enough to stand in a page.

A chunk is a dict that JSON can hold: `run`, `tag`, the `steps`, `arrays` (of each name, shape,
whether it goes along its places, and how many bits were dropped), `digits` that numbers are right
to, or null for all, and `data`: base64 of zlib of the length of the headers as uint32, the headers
as a JSON list, and each array's numbers of all steps.

These are coded as differences between neighbours, which are small where a function is smooth and
training is slow: the bits of a float32, read as an integer, grow with the number, so that
differences of such integers lose nothing. Each is the difference to the step before and, where
that makes them smaller, of this to that of the place before; the sign goes to the lowest bit; and
the lowest bytes of all stand together, then the next ones.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature_page.packets import STEPS, finite, unpack
from keras_curvature_page.series import Series, Source, listing

MOST_STEPS = 128
"""Steps of a chunk: what the page opens at once."""

DROPPED, DIGITS = 6, 5
"""Bits of a float32 that are dropped, and the digits that are left: 18 of its 24 bits, of which
rounding is off by at most 4e-6."""

_FINITE = 0x7F7FFFFF
"""The bits of the largest float32."""

Told = dict[str, Any]


def told_of(source: Source, *, rounded: bool = False, known: Collection[Any] = ()) -> Told:
    """All that the page is told, as `static/embedded_source.js` takes it.

    Args:
        source: what has the packets.
        rounded: whether to keep `DIGITS` digits of curves instead of all.
        known: series and steps that the page has already.
    """
    found = source.steps()
    chunks = [
        chunk
        for series, steps in found.items()
        for chunk in _chunks(
            series,
            ((step, source.packet(series, step)) for step in steps if (series, step) not in known),
            DROPPED if rounded and series.kind == STEPS else 0,
        )
    ]
    listed = listing({series: (_tag(series), steps) for series, steps in found.items()})
    return {"series": listed, "chunks": chunks, "broken": list(source.broken)}


def _tag(series: Series) -> str:
    return f"{series.name}/{series.output}/{series.kind}"


def _chunks(series: Series, packets: Iterable[tuple[int, bytes]], dropped: int) -> Iterator[Told]:
    """In the order of the steps; what is no packet is left out."""
    opened = ((step, *found) for step, packet in packets if (found := _opened(packet)) is not None)
    alike = itertools.groupby(opened, lambda item: [(n, a.shape) for n, a in item[2].items()])
    for _, items in alike:
        while some := list(itertools.islice(items, MOST_STEPS)):
            yield _chunk(series, some, dropped)


def _opened(packet: bytes) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]] | None:
    try:
        return unpack(packet)
    except ValueError:
        return None


def _chunk(
    series: Series,
    items: list[tuple[int, dict[str, Any], dict[str, NDArray[np.float32]]]],
    dropped: int,
) -> Told:
    steps, headers, arrays = zip(*items, strict=True)
    exact = _exact(arrays[0])
    said, parts = [], []
    for name, first in arrays[0].items():
        bits = 0 if name in exact else dropped
        integers = _integers(np.stack([each[name].ravel() for each in arrays]), bits)
        along, differences = _differences(integers)
        said.append([name, list(first.shape), along, bits])
        parts.append(_planes(differences))
    text = json.dumps(finite(headers), allow_nan=False).encode("ascii")
    data = zlib.compress(len(text).to_bytes(4, "little") + text + b"".join(parts), 9)
    return {
        "run": series.run,
        "tag": _tag(series),
        "steps": list(steps),
        "arrays": said,
        "digits": DIGITS if dropped else None,
        "data": base64.b64encode(data).decode("ascii"),
    }


def _exact(arrays: Mapping[str, NDArray[np.float32]]) -> tuple[str, ...]:
    """What keeps all of its digits.

    Over the plane of two inputs the page adds up and subtracts, for Laplacians and for differences
    to data and known values, and may be left with few digits. The probe, where the other side of
    such a difference is, is written once, and so exact too. Distances are few.
    """
    planar = "second" in arrays and arrays["second"].shape[1:2] == (2,)
    return ("spectrum", *(("value", "second", "scale_second") if planar else ()))


def _integers(numbers: NDArray[np.float32], dropped: int) -> NDArray[np.int32]:
    """The bits of floats, as integers that grow with them, without the last ones."""
    whole = np.where(np.isnan(numbers), np.float32(np.nan), numbers).astype("<f4").view(np.int32)
    sizes = whole & 0x7FFFFFFF
    if dropped:
        half = 1 << (dropped - 1)
        nearest = np.where(sizes <= _FINITE, np.minimum(sizes, _FINITE - half) + half, sizes)
        sizes = nearest >> dropped
    return np.where(whole < 0, -sizes, sizes).astype(np.int32)


def _differences(integers: NDArray[np.int32]) -> tuple[bool, NDArray[np.int32]]:
    """Whether they go along the places, and the differences; they wrap around as int32 does."""
    with np.errstate(over="ignore"):
        by_step = np.diff(integers, axis=0, prepend=np.zeros_like(integers[:1]))
        both = np.diff(by_step, axis=1, prepend=np.zeros_like(by_step[:, :1]))
    return min([(False, by_step), (True, both)], key=lambda found: _bits(found[1]))


def _bits(differences: NDArray[np.int32]) -> float:
    """About how many bits they take."""
    return float(np.log2(1 + np.abs(differences.astype(np.float32))).sum())


def _planes(differences: NDArray[np.int32]) -> bytes:
    codes = ((differences << 1) ^ (differences >> 31)).astype("<u4")
    return codes.reshape(-1, 1).view(np.uint8).T.tobytes()
