"""Where a log is written: on this machine, or where TensorFlow or fsspec reach."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class OpenFile(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> Any:
        """Adds to it."""

    def flush(self) -> Any:
        """Lets others read what was added."""

    def close(self) -> Any:
        """Flushes and ends it."""


@dataclass(frozen=True)
class FileSystem:
    """What a log needs of the place where it is. Each raises errors of the place's own.

    Attributes:
        join: a directory and a name.
        make: a directory, and those above it; nothing if it is there.
        names: of what is in a directory.
        exists: whether there is a file.
        remove: a file.
        create: a new file.
    """

    join: Callable[[str, str], str]
    make: Callable[[str], None]
    names: Callable[[str], list[str]]
    exists: Callable[[str], bool]
    remove: Callable[[str], None]
    create: Callable[[str], OpenFile]


DISK = FileSystem(
    os.path.join,
    functools.partial(os.makedirs, exist_ok=True),
    os.listdir,
    os.path.exists,
    os.remove,
    lambda path: open(path, "wb"),  # noqa: SIM115, who asks for it closes it
)


def file_system(path: str) -> FileSystem:
    """The one that has a path: this machine's for those without a scheme such as `gs://`.

    Others TensorBoard reads through TensorFlow where that is installed, and so are they written.

    Raises:
        OSError: if nothing is installed that reaches it.
    """
    if "://" not in path:
        return DISK
    from tensorboard.compat import tf

    if tf.__version__ != "stub":
        files = tf.io.gfile
        return FileSystem(
            files.join,
            files.makedirs,
            files.listdir,
            files.exists,
            files.remove,
            lambda path: files.GFile(path, "wb"),
        )
    try:
        from fsspec.core import url_to_fs

        return _of_fsspec(url_to_fs(path)[0])
    except (ImportError, ValueError) as error:  # for fsspec, what it needs, or no such scheme
        raise OSError(
            "Without TensorFlow `log_dir` must be a local directory, or one that fsspec reaches. "
            f"Received: {path!r}, for which: {error}. Install fsspec and its package for this "
            "scheme (gcsfs, s3fs, …), or TensorFlow, or choose a local directory."
        ) from error


def reason(error: Exception) -> str:
    """What an error says; TensorFlow's say their place in the code too."""
    return str(getattr(error, "message", None) or error)


def _of_fsspec(files: Any) -> FileSystem:
    def names(directory: str) -> list[str]:
        files.invalidate_cache()  # others write there too
        try:
            return [path.rpartition("/")[2] for path in files.ls(directory, detail=False)]
        except FileNotFoundError:  # where there are objects only, an empty directory is none
            return []

    return FileSystem(
        lambda directory, name: f"{directory.rstrip('/')}/{name}",
        functools.partial(files.makedirs, exist_ok=True),
        names,
        files.exists,
        files.rm_file,
        functools.partial(_SentWhole, files),
    )


class _SentWhole:
    """A file of which every flush sends all again: stores of objects cannot add to one."""

    def __init__(self, files: Any, path: str) -> None:
        self._files, self._path = files, path
        self._content = tempfile.TemporaryFile()  # noqa: SIM115, closed by `close`
        self.write = self._content.write

    def flush(self) -> None:
        """Sends it."""
        with self._files.open(self._path, "wb") as sent:
            self._content.seek(0)
            shutil.copyfileobj(self._content, sent)

    def close(self) -> None:
        """Sends it for the last time."""
        with contextlib.closing(self._content):
            self.flush()
