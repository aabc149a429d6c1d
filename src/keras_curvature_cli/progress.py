"""What is being done, shown on the terminal while it takes long."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextlib.contextmanager
def doing(what: str, file: IO[str] | None = None) -> Iterator[None]:
    """Shows what is done, a bar where work goes in chunks, and the time; gone when it is done.

    It goes to standard error, or the given file, and only to a terminal.
    """
    console = Console(file=file or sys.stderr)
    if not console.is_terminal:
        yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        with _chunks_shown_by(progress, task):
            yield


@contextlib.contextmanager
def _chunks_shown_by(progress: Progress, task: object) -> Iterator[None]:
    if "keras_curvature" not in sys.modules:  # nothing is computed yet: the model is loaded
        yield
        return
    from keras_curvature.engines.api import chunking

    with chunking.watched_by(
        lambda done, total: progress.update(task, completed=done, total=total)  # type: ignore[arg-type]
    ):
        yield
