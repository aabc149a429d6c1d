"""Packets of many steps as one text, small enough to stand in a page.

A chunk is a dict that JSON can hold: `run`, `tag`, the `steps`, `arrays` (of each name, shape, and
how it is coded), whether numbers are `rounded`, and `data`: base64 of zlib of the length of what
follows as uint32, of a JSON object with the `headers` of all steps, and of each array's numbers of
all steps.

These are coded as differences, which are small where a function is smooth and training is slow;
the sign goes to the lowest bit, and the lowest bytes of all stand together, then the next ones.

Exact numbers (`false` or `true`): the bits of a float32, read as an integer, grow with the number,
so that differences of such integers lose nothing. Each is the difference to the step before and,
where that makes them smaller (`true`), of this to that of the place before.

Rounded numbers (`"fixed"`): multiples of a quantum, see `fixed_point`. The JSON object has `fixed`:
of each such array its quanta, predictors and gains.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_curvature_page.fixed_point import Arrays, multiples_of
from keras_curvature_page.packets import PROBE, STEPS, finite, unpack
from keras_curvature_page.series import Series, Source, listing

MOST_STEPS = 128
"""Steps of a chunk: what the page opens at once."""

Told = dict[str, Any]


def told_of(source: Source, *, rounded: bool = False, known: Collection[Any] = ()) -> Told:
    """All that the page is told, as `static/embedded_source.js` takes it.

    Args:
        source: what has the packets.
        rounded: whether what is drawn may be rounded, to less than can be seen.
        known: series and steps that the page has already.
    """
    found = source.steps()
    chunks = [
        chunk
        for series, steps in found.items()
        for chunk in _chunks(
            series,
            ((step, source.packet(series, step)) for step in steps if (series, step) not in known),
            _still(source, series) if rounded and series.kind == STEPS else None,
        )
    ]
    listed = listing({series: (_tag(series), steps) for series, steps in found.items()})
    return {"series": listed, "chunks": chunks, "broken": list(source.broken)}


def _tag(series: Series) -> str:
    return f"{series.name}/{series.output}/{series.kind}"


def _still(source: Source, series: Series) -> Arrays:
    """What is drawn with the steps of a series and is the same at all of them."""
    probe = dataclasses.replace(series, kind=PROBE)
    steps = sorted(source.steps().get(probe, ()))
    found = _opened(source.packet(probe, steps[-1])) if steps else None
    return found[1] if found else {}


def _chunks(
    series: Series, packets: Iterable[tuple[int, bytes]], still: Arrays | None
) -> Iterator[Told]:
    """In the order of the steps; what is no packet is left out."""
    opened = ((step, *found) for step, packet in packets if (found := _opened(packet)) is not None)
    alike = itertools.groupby(opened, lambda item: [(n, a.shape) for n, a in item[2].items()])
    for _, items in alike:
        while some := list(itertools.islice(items, MOST_STEPS)):
            yield _chunk(series, some, still)


def _opened(packet: bytes) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]] | None:
    try:
        return unpack(packet)
    except ValueError:
        return None


def _chunk(
    series: Series,
    items: list[tuple[int, dict[str, Any], dict[str, NDArray[np.float32]]]],
    still: Arrays | None,
) -> Told:
    steps, headers, each = zip(*items, strict=True)
    arrays = {name: np.stack([one[name] for one in each]) for name in each[0]}
    fixed = multiples_of({} if still is None else arrays, still or {})
    said, parts = [], []
    for name, array in arrays.items():
        how: bool | str
        if name in fixed:
            how, differences = "fixed", fixed[name].differences
        else:
            how, differences = _differences(_integers(array.reshape(len(array), -1)))
        said.append([name, list(array.shape[1:]), how])
        parts.append(_planes(differences))
    told = {
        "headers": finite(headers),
        "fixed": {name: [one.quanta, one.predictors, one.gains] for name, one in fixed.items()},
    }
    text = json.dumps(told, allow_nan=False, separators=(",", ":")).encode("ascii")
    data = _compressed(len(text).to_bytes(4, "little") + text + b"".join(parts))
    return {
        "run": series.run,
        "tag": _tag(series),
        "steps": list(steps),
        "arrays": said,
        "rounded": still is not None,
        "data": base64.b64encode(data).decode("ascii"),
    }


def _compressed(data: bytes) -> bytes:
    squeezing = zlib.compressobj(9, memLevel=6, strategy=zlib.Z_FILTERED)  # mostly small numbers
    return squeezing.compress(data) + squeezing.flush()


def _integers(numbers: NDArray[np.float32]) -> NDArray[np.int32]:
    """The bits of floats, as integers that grow with them."""
    whole = np.where(np.isnan(numbers), np.float32(np.nan), numbers).astype("<f4").view(np.int32)
    sizes = whole & 0x7FFFFFFF
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
