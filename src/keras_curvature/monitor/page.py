"""A monitor as a page: what it wrote into its log, or keeps in memory where it writes none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_curvature.diagnosis.results import Diagnosis
from keras_curvature.monitor.training import Found
from keras_curvature.report.data import NOW

if TYPE_CHECKING:
    from keras_curvature.summaries.in_memory import InMemory
    from keras_curvature.summaries.notebook import Live
    from keras_curvature_page.log import Log
    from keras_curvature_page.series import Source


class Page:
    """What a monitor can be looked at by without TensorBoard.

    Args:
        name: of the monitor.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._memory = _in_memory(name)
        self._directory: str | None = None
        self._log: Log | None = None
        self._live: Live | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy holds: the output of a cell belongs to one monitor."""
        return vars(self) | {"_live": None, "_log": None}

    @property
    def is_live(self) -> bool:
        """Whether somebody looks at the training."""
        return self._live is not None

    def begin(self, directory: str | None) -> None:
        """Begins a training, which writes its log there, if it writes one on this machine."""
        self._directory = None if directory is None or "://" in directory else directory
        self._log = None

    def take(self, found: Found, maps: Any = ()) -> None:
        """Keeps what was measured, unless the log has it."""
        if self._directory is None:
            for output, report in found.reports.items():
                self._memory.add(report, found.measurements[output], maps)

    def take_distances(self, report: Any, measurement: Any) -> None:
        """Keeps the curvature over distances, unless the log has it."""
        if self._directory is None and report.step != NOW:
            self._memory.add_distances(report, measurement)

    def take_diagnosis(self, step: int, diagnosis: Diagnosis) -> None:
        """Keeps what was found out about the model, unless the log has it."""
        if self._directory is None:
            self._memory.add_diagnosis(step, diagnosis)

    def forget_after(self, step: int) -> None:
        """Drops what came after a backup from which the training goes on."""
        self._memory.forget_after(step)
        if self._live is not None:
            self._live.forget_after(step)

    def show(self, found: Found) -> None:
        """Shows it in a notebook, and what is measured from now on."""
        from keras_curvature.summaries.notebook import Live

        self._live = Live(self._source(found), self._title)

    def update(self, found: Found) -> None:
        """Tells those who look that there is something new."""
        if self._live is not None:
            self._live.update(self._source(found))

    def end(self, found: Found) -> None:
        """Leaves all of it with those who look."""
        if self._live is not None:
            self._live.end(self._source(found))

    def frame(self, found: Found) -> str | None:
        """What a notebook shows; nothing where nothing was measured."""
        if not found.reports:
            return None
        from keras_curvature.summaries.notebook import frame

        return frame(self._source(found), self._title)

    def to_html(self, found: Found, path: str | os.PathLike[str], *, force: bool) -> Path:
        """Writes a file."""
        found.of("")  # raises where nothing was measured
        from keras_curvature_page.one_file import page, write

        return write(lambda: page(self._source(found), self._title), path, force=force)

    @property
    def _title(self) -> str:
        if self._directory is None:
            return "Curvature"
        return f"Curvature: {os.path.basename(os.path.dirname(self._directory))}"

    def _source(self, found: Found) -> Source:
        """The log; what is in memory; or else what was measured last, at no step of a training."""
        if self._directory is not None and os.path.isdir(self._directory):
            from keras_curvature_page.log import Log

            self._log = self._log or Log(self._directory)
            self._log.refresh()
            if self._log.index():
                return self._log
        if self._memory.steps():
            return self._memory
        last = _in_memory(self._name)
        for output, report in found.reports.items():
            last.add(report, found.measurements[output])
        return last


def _in_memory(name: str) -> InMemory:
    # Here, so that importing the library stays quick.
    from keras_curvature.summaries.in_memory import InMemory

    return InMemory(name)
