"""TensorBoard's event files, written so that what is on the disk stays readable."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from keras_curvature.summaries.file_systems import OpenFile, file_system, reason
from keras_curvature_page.records import record

_numbers = itertools.count()


class EventFile:
    """A run's event file, made with the first thing written.

    TensorFlow's own summary writer goes on without a word when its file is deleted, and after
    a full disk continues behind the torn record, where no reader gets to. Here each fault
    raises and leaves the file behind; the next thing written goes into a new one, which reads
    on from where the old one broke off.

    Each file begins with a note that a session starts at its first step. Of what older files of
    the run hold TensorBoard forgets that step and all after it, so that a training that is
    resumed from a backup gives one curve.

    Args:
        directory: of the run, local or any that `file_system` reaches; made if it is not there.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._files = file_system(directory)
        self._path = ""
        self._file: OpenFile | None = None
        self._ended = 0

    @property
    def ended(self) -> int:
        """How many files have been closed or left behind: which one is being written."""
        return self._ended

    def write(self, step: int, summary: Summary) -> None:
        """Adds one record.

        Raises:
            OSError: if it cannot be written.
        """
        event = Event(wall_time=time.time(), step=step, summary=summary)
        with self._left_behind_if_it_fails():
            if self._file is None:
                self._begin(step)
            self._add(event)

    def flush(self) -> None:
        """Sends what was written to the disk.

        Raises:
            OSError: if it cannot be written, or the file is no longer there.
        """
        if self._file is None:
            return
        with self._left_behind_if_it_fails():
            self._file.flush()
            there = self._files.exists(self._path)
        if not there:
            self._leave()
            raise FileNotFoundError(
                f"{self._path!r} is no longer there: somebody deleted it while it was "
                "written to. What is written from now on goes into a new file."
            )

    def close(self) -> None:
        """Flushes and closes the file; the next thing written opens another one.

        Raises:
            OSError: if it cannot be written.
        """
        if self._file is None:
            return
        with self._left_behind_if_it_fails():
            self._file.close()
        self._file = None
        self._ended += 1

    def _begin(self, step: int) -> None:
        self._files.make(self._directory)
        name = _next_name(self._files.names(self._directory))
        self._path = self._files.join(self._directory, name)
        self._file = self._files.create(self._path)
        now = time.time()
        try:
            self._add(Event(wall_time=now, file_version="brain.Event:2"))
            start = SessionLog(status=SessionLog.START)
            self._add(Event(wall_time=now, step=step, session_log=start))
            self._file.flush()
        except Exception:
            for undo in (self._file.close, lambda: self._files.remove(self._path)):
                with contextlib.suppress(Exception):
                    undo()  # or a full disk fills with empty files
            raise

    def _add(self, event: Event) -> None:
        assert self._file is not None, "begun before"
        self._file.write(record(event.SerializeToString()))

    @contextlib.contextmanager
    def _left_behind_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of whatever kind the place of the file has
            self._leave()
            raise OSError(f"The log could not be written: {reason(error)}") from error

    def _leave(self) -> None:
        left, self._file = self._file, None
        self._ended += 1
        if left is not None:
            with contextlib.suppress(Exception):
                left.close()


def _next_name(present: Iterable[str]) -> str:
    """A name that sorts behind those of the event files there: TensorBoard reads in that order.

    The clock alone does not do: two files may be made within a second, and clocks of two
    machines differ.
    """
    found = [re.search(r"tfevents\.(\d+)\.", name) for name in present]
    latest = max((int(match[1]) for match in found if match), default=0)
    stamp = max(int(time.time()), latest + 1)
    host = re.sub(r"[^\w-]", "_", socket.gethostname())
    # Not the pattern of TensorFlow's own writers: with the same number in the same second, one
    # would write over the other.
    return f"events.out.tfevents.{stamp:010d}.{host}.{os.getpid()}.{next(_numbers)}.curvature.v2"
