"""Starts Keras without the messages that TensorFlow prints whatever its log level is."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO

from keras_curvature_cli.progress import doing


def start() -> None:
    """Imports all that computes; the first op starts the devices."""
    with _unheard() as terminal, doing("Starting Keras", terminal):
        import keras_curvature  # noqa: F401, says which backend it needs, knows its own layers

        # isort: split
        import keras

        keras.ops.zeros([])


@contextlib.contextmanager
def _unheard() -> Iterator[IO[str]]:
    """Sends what is written to file descriptor 2 nowhere, but for what goes to the given file."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with os.fdopen(os.dup(kept), "w") as terminal:
            yield terminal
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
