"""TensorBoard's event files, written so that what is on the disk stays readable."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import time
from collections.abc import Iterator

import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

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
        directory: of the run, local or any that TensorFlow reaches; made if it is not there.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._path: str | None = None
        self._records: tf.io.TFRecordWriter | None = None
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
        with self._left_behind_if_it_fails():
            if self._records is None:
                self._open(step)
            self._add(Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Sends what was written to the disk.

        Raises:
            OSError: if it cannot be written, or the file is no longer there.
        """
        if self._records is None:
            return
        with self._left_behind_if_it_fails():
            self._records.flush()
            if not tf.io.gfile.exists(self._path):
                raise FileNotFoundError(
                    f"{self._path!r} is no longer there: somebody deleted it while it was "
                    "written to. What is written from now on goes into a new file."
                )

    def close(self) -> None:
        """Flushes and closes the file; the next thing written opens another one.

        Raises:
            OSError: if it cannot be written.
        """
        if self._records is None:
            return
        with self._left_behind_if_it_fails():
            self._records.close()
        self._records = None
        self._ended += 1

    def _open(self, step: int) -> None:
        tf.io.gfile.makedirs(self._directory)
        self._path = tf.io.gfile.join(self._directory, _next_name(self._directory))
        self._records = tf.io.TFRecordWriter(self._path)
        now = time.time()
        try:
            self._add(Event(wall_time=now, file_version="brain.Event:2"))
            start = SessionLog(status=SessionLog.START)
            self._add(Event(wall_time=now, step=step, session_log=start))
            self._records.flush()
        except tf.errors.OpError:
            with contextlib.suppress(tf.errors.OpError):
                tf.io.gfile.remove(self._path)  # or a full disk fills with empty files
            raise

    def _add(self, event: Event) -> None:
        assert self._records is not None, "opened before"
        self._records.write(event.SerializeToString())

    @contextlib.contextmanager
    def _left_behind_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            records, self._records = self._records, None
            self._ended += 1
            if records is not None:
                with contextlib.suppress(tf.errors.OpError):
                    records.close()
            if isinstance(error, OSError):
                raise
            raise OSError(f"The log could not be written: {error.message}") from error


def _next_name(directory: str) -> str:
    """A name that sorts behind those of all event files there: TensorBoard reads in that order.

    The clock alone does not do: two files may be made within a second, and clocks of two
    machines differ.
    """
    found = [re.search(r"tfevents\.(\d+)\.", name) for name in tf.io.gfile.listdir(directory)]
    latest = max((int(match[1]) for match in found if match), default=0)
    stamp = max(int(time.time()), latest + 1)
    host = re.sub(r"[^\w-]", "_", socket.gethostname())
    # Not the pattern of TensorFlow's own writers: with the same number in the same second, one
    # would write over the other.
    return f"events.out.tfevents.{stamp:010d}.{host}.{os.getpid()}.{next(_numbers)}.curvature.v2"
