"""Reads a log directory without TensorBoard's readers, which load TensorFlow where it is."""

from __future__ import annotations

import bisect
import functools
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from keras_curvature_page import records
from keras_curvature_page.packets import PLUGIN, unpack
from keras_curvature_page.series import Series, Wanted, joined, listing, series_of


@dataclass(frozen=True)
class _Place:
    """Where a packet stands: in which file, where its record begins, and which value of it."""

    path: str
    start: int
    value: int


@dataclass
class _Run:
    """What was read of a run: by tag its series and where each step of it is."""

    series: dict[str, Series | None] = field(default_factory=dict)
    places: dict[str, dict[int, _Place]] = field(default_factory=dict)


class Log:
    """What monitors wrote into a directory and those below it; each with event files is a run.

    Only where the packets stand is kept in memory. As TensorBoard does, the files of a run are read
    in the order of their names, and where a file says that a session started at a step, that step
    and all after it are forgotten of what was read before.

    Args:
        directory: of all runs, local.

    Raises:
        ValueError: for what is no path.
        NotADirectoryError: if there is no such directory on this machine.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = _local(directory)
        self._begin()
        self._one_at_a_time = threading.Lock()

    @property
    def has_files(self) -> bool:
        """Whether there are event files at all, of whomever."""
        return next(_event_files(self._directory), None) is not None

    @property
    def broken(self) -> list[str]:
        """What could not be read of what was asked for so far, a sentence for each record."""
        found = sorted((path, start, said) for (path, start), said in self._broken.items())
        return [
            f"{os.path.relpath(path, self._directory)!r}, record {self._number(path, start)}, at "
            f"byte {start}: {said}"
            for path, start, said in found
        ]

    def _number(self, path: str, start: int) -> int:
        """Which record of its file begins there, counted from 1 and with those left out."""
        left_out = sum(p == path and begun < start for p, begun in self._left_out)
        return 1 + left_out + bisect.bisect_left(self._starts.get(path, []), start)

    def _begin(self) -> None:
        self._read: dict[str, int] = {}
        self._runs: dict[str, _Run] = {}
        self._starts: dict[str, list[int]] = {}
        self._broken: dict[tuple[str, int], str] = {}
        self._left_out: set[tuple[str, int]] = set()

    def refresh(self) -> None:
        """Reads what was written since."""
        with self._one_at_a_time:
            found = dict(_event_files(self._directory))
            if any(_size(path) < read for path, read in self._read.items()):
                self._begin()  # some were deleted or written anew, and what they ended is back
            for path, run in found.items():
                start = self._read.get(path, 0)
                if _size(path) > start:
                    self._forget(path, start)  # what was left out last may be whole by now
                    told = functools.partial(self._leave_out, path)
                    for begun, end, data in records.read(path, start, told):
                        self._take(self._runs.setdefault(run, _Run()), path, begun, data)
                        self._starts.setdefault(path, []).append(begun)
                        self._read[path] = end

    def _forget(self, path: str, start: int) -> None:
        for place in [place for place in self._left_out if place >= (path, start)]:
            if place[0] == path:
                self._left_out.remove(place)
                del self._broken[place]

    def _leave_out(self, path: str, start: int, following: int | None) -> None:
        said = "its bytes do not fit their checksum. It is left out"
        if following is None:
            size = _size(path) - start
            said += f", and with it the rest of the file, {size} bytes, in which no whole record is"
        self._left_out.add((path, start))
        self._broken[path, start] = f"{said}."

    def _take(self, run: _Run, path: str, start: int, data: bytes) -> None:
        try:
            event = Event.FromString(data)
        except DecodeError:
            event = Event()
        if event.WhichOneof("what") is None:
            self._broken[path, start] = "it holds no event. It is left out."
        if event.HasField("session_log") and event.session_log.status == SessionLog.START:
            for places in run.places.values():
                for step in [step for step in places if step >= event.step]:
                    del places[step]
        for i, value in enumerate(event.summary.value):
            if value.metadata.plugin_data.plugin_name == PLUGIN:
                found = series_of("", value.metadata.plugin_data.content)
                run.series[value.tag] = found
                if found is None and value.metadata.plugin_data.content:  # else for others
                    self._broken[path, start] = (
                        f"nobody knows what {value.tag!r} in it is. It is left out."
                    )
            if run.series.get(value.tag) is not None:
                run.places.setdefault(value.tag, {})[event.step] = _Place(path, start, i)

    def _found(self) -> Iterator[tuple[Series, str, Mapping[int, _Place]]]:
        for name, run in sorted(self._runs.items()):
            for tag, series in list(run.series.items()):
                if series is not None and run.places.get(tag):
                    yield (
                        Series(name, series.name, series.output, series.kind),
                        tag,
                        run.places[tag],
                    )

    def steps(self) -> dict[Series, list[int]]:
        """All that there is."""
        return {series: sorted(places) for series, _, places in self._found()}

    def packet(self, series: Series, step: int) -> bytes:
        """One packet, empty where the record is none.

        Raises:
            KeyError: if there is no such series or step.
        """
        for other, _, places in self._found():
            if other == series:
                return self._packet(places[step])
        raise KeyError(series)

    def _packet(self, place: _Place) -> bytes:
        try:
            _, _, data = next(records.read(place.path, place.start))
            value = Event.FromString(data).summary.value[place.value]
            (packet,) = value.tensor.string_val
            unpack(packet)
        except (OSError, StopIteration):  # gone since it was found
            return b""
        except (ValueError, DecodeError, IndexError) as error:
            self._broken[place.path, place.start] = f"it holds no packet. It is left out. {error}"
            return b""
        return bytes(packet)

    def index(self) -> list[dict[str, Any]]:
        """What a server tells of it, see `listing`."""
        return listing({series: (tag, places) for series, tag, places in self._found()})

    def packets(self, wanted: list[Wanted]) -> bytes:
        """What a server sends, see `joined`.

        Raises:
            KeyError: if there is no such run, tag or step.
        """
        return joined(
            (place, step, self._packet(self._runs[run].places[tag][step]))
            for place, (run, tag, steps) in enumerate(wanted)
            for step in steps
        )


def _event_files(directory: str) -> Iterator[tuple[str, str]]:
    """Paths of event files and the names of their runs, both in order of their names."""
    seen = set()
    for folder, below, files in os.walk(directory, followlinks=True):
        below[:] = sorted(
            name for name in below if os.path.realpath(os.path.join(folder, name)) not in seen
        )
        seen |= {os.path.realpath(os.path.join(folder, name)) for name in below}
        run = _run(folder, directory)
        for name in sorted(files):
            if "tfevents" in name:
                yield os.path.join(folder, name), run


def _run(folder: str, directory: str) -> str:
    """The name of a run: its path from the directory, or for that itself what it is called."""
    parts = os.path.relpath(folder, directory).split(os.sep)
    return "/".join(parts if parts != ["."] else directory.strip(os.sep).split(os.sep)[-2:])


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


def _local(directory: object) -> str:
    path = os.fspath(directory) if isinstance(directory, (str, os.PathLike)) else ""
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ValueError(
            "`log_dir` must be the path of a directory, for example 'logs/run1'. "
            f"Received: {directory!r}."
        )
    if "://" in path:
        raise ValueError(
            "`log_dir` must be a directory on this machine: copy the log here first. "
            f"Received: {path!r}."
        )
    path = os.path.abspath(path)
    if not os.path.isdir(path):
        found = "is a file" if os.path.exists(path) else "is not there"
        raise NotADirectoryError(
            f"`log_dir` must be a directory with logs of `CurvatureMonitor`; this one {found}. "
            f"Received: {str(directory)!r}."
        )
    return path
