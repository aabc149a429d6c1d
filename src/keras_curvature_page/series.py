"""What the page is told of the data that there is: runs, outputs, and their steps."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keras_curvature_page.packets import DIAGNOSIS, DISTANCES, PROBE, STEPS

KINDS = (PROBE, STEPS, DIAGNOSIS, DISTANCES)

Wanted = tuple[str, str, Sequence[int]]
"""Run, tag and steps."""

_ITEM = struct.Struct("<qII")


@dataclass(frozen=True, order=True)
class Series:
    """Packets of one kind, by step.

    Attributes:
        run: the name of the run.
        name: of the monitor.
        output: of the model; `""` for the only one, and for what is said of the whole model.
        kind: one of `KINDS`.
    """

    run: str
    name: str
    output: str
    kind: str


class Source(Protocol):
    """What has packets: a log, or a monitor that wrote none."""

    @property
    def broken(self) -> Iterable[str]:
        """What could not be read so far, a sentence each."""

    def steps(self) -> Mapping[Series, Iterable[int]]:
        """All that there is."""

    def packet(self, series: Series, step: int) -> bytes:
        """One packet.

        Raises:
            KeyError: if there is none.
        """


def listing(found: Mapping[Series, tuple[str, Iterable[int]]]) -> list[dict[str, Any]]:
    """Every run and output with its steps, in order of their names.

    Args:
        found: tag and steps of each series.

    Returns:
        Dicts with `run`, `name` (of the monitor), `output`, `tag` and `steps` of the steps,
        `probe_tag` and `probe_steps` of what does not change from step to step, and where the
        run has them `diagnosis_tag`, `diagnosis_steps`, `distances_tag`, `distances_steps`.
    """
    places: dict[tuple[str, str, str], dict[str, Any]] = {}
    for series, (tag, steps) in found.items():
        run, name, output = series.run, series.name, series.output
        place = places.setdefault((run, name, output), {"run": run, "name": name, "output": output})
        prefix = "" if series.kind == STEPS else f"{series.kind}_"
        place |= {f"{prefix}tag": tag, f"{prefix}steps": sorted(steps)}
    listed = [places[key] for key in sorted(places) if {"tag", "probe_tag"} <= places[key].keys()]
    for place in listed:
        words = places.get((place["run"], place["name"], ""), {})
        place |= {key: value for key, value in words.items() if key.startswith(DIAGNOSIS)}
    return listed


def joined(packets: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Packets as a server sends them, one after the other.

    Each comes behind its step as int64, its length as uint32 and the place of its series in what
    was asked for as uint32. Where a record is no packet the length is 0.

    Args:
        packets: place, step and packet of each.
    """
    return b"".join(
        _ITEM.pack(step, len(packet), place) + packet for place, step, packet in packets
    )


def series_content(kind: str, name: str, output: str) -> bytes:
    """What a series says of itself in its metadata."""
    return json.dumps({"series": kind, "name": name, "output": output}).encode("ascii")


def series_of(run: str, content: bytes) -> Series | None:
    """The series that says this of itself in its metadata, `None` if it is none of ours."""
    try:
        told = json.loads(content)
        kind, name, output = told["series"], told["name"], told["output"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if kind not in KINDS or not isinstance(name, str) or not isinstance(output, str):
        return None
    return Series(run, name, output, kind)
