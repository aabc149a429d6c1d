"""The runs of a log side by side: what was said and measured last in each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from keras_curvature_cli.printing import shown
from keras_curvature_page.log import Log
from keras_curvature_page.one_file import require_data, warn_of
from keras_curvature_page.packets import STEPS, unpack

NUMBERS = ("r2", "shape_fraction", "rms", "slope_change", "hidden_fraction")
"""Of the table, where a run has them; `--json` has all."""


@dataclass(frozen=True)
class LastStep:
    """Of a run and an output of its model.

    Attributes:
        run: its folder in the log.
        output: of the model; `""` for the only one.
        step: the last one that was measured.
        verdict: `kind` and `sentence`.
        numbers: the headline, by name.
    """

    run: str
    output: str
    step: int
    verdict: Mapping[str, str]
    numbers: Mapping[str, float | None]


def rows_of(logs: str | os.PathLike[str]) -> list[LastStep]:
    """What was measured last in every run, in order of their names.

    Raises:
        ValueError: for a log in which there is none.
        NotADirectoryError: if there is no such directory.
    """
    log = Log(logs)
    log.refresh()
    require_data(log, logs)
    rows = []
    for series, steps in sorted(log.steps().items()):
        if series.kind == STEPS:
            header, _ = unpack(log.packet(series, steps[-1]))
            verdict, numbers = header["verdict"], header["numbers"]
            rows.append(LastStep(series.run, series.output, steps[-1], verdict, numbers))
    warn_of(log)
    return rows


def data_of(rows: Sequence[LastStep]) -> dict[str, Any]:
    """For a program."""
    return {"runs": [asdict(row) for row in rows]}


def table_of(rows: Sequence[LastStep]) -> Table:
    """For a person."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", overflow="fold", min_width=12)
    several = any(row.output for row in rows)
    if several:
        table.add_column("output")
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    names = [name for name in NUMBERS if any(name in row.numbers for row in rows)]
    for name in names:
        table.add_column(name.replace("_", "_\n"), justify="right", no_wrap=True)
    ends = {row.run.rpartition("/")[2] for row in rows}
    for row in rows:
        run = row.run.rpartition("/")[0] if len(ends) == 1 else row.run
        numbers = [_number(row.numbers.get(name)) for name in names]
        output = [shown(row.output, 24)] if several else []
        kind = shown(row.verdict["kind"], 24)
        table.add_row(shown(run or row.run, 60), *output, str(row.step), kind, *numbers)
    return table


def _number(x: float | None) -> str:
    return "–" if x is None else f"{x:.3g}"
