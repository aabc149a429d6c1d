"""What the commands print: text for a person, or JSON for a program."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

WIDE = 110
"""Columns of a terminal from which each number's meaning stands beside it on one line."""


def report_data(monitor: Any, diagnosis: Any) -> dict[str, Any]:
    """Everything that `report` found."""
    outputs = {
        name: {
            "verdict": dataclasses.asdict(report.verdict),
            "units": report.units,
            "numbers": dict(report.scalars),
            "shape": [_shape_data(entry) for entry in report.shape],
            "features": report.curved,
            "changes": {name: dataclasses.asdict(it) for name, it in report.changes.items()},
            "interactions": [
                {"inputs": list(names), "value": value} for names, value in report.pairs.items()
            ],
            "method": list(report.method),
        }
        for name, report in monitor.reports.items()
    }
    return {"outputs": outputs, "diagnosis": diagnosis_data(diagnosis)}


def _shape_data(entry: Any) -> dict[str, Any]:
    """One entry of a shape; where it holds everywhere there is no worst point to tell."""
    data = dataclasses.asdict(entry)
    return data if entry.worst_violation else _without(data, "point", "at")


def _without(data: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in keys}


def report_text(monitor: Any, diagnosis: Any, heading: str) -> str:
    """The same for a person."""
    tables = [
        report.text(f"{heading}, output {name!r}" if name else heading)
        for name, report in monitor.reports.items()
    ]
    return "\n\n".join([*tables, str(diagnosis)])


def shape_holds(monitor: Any) -> bool:
    """Whether all that is asked of the shape holds at every point, of every output."""
    return all(report.headline.get("shape_fraction", 1) == 1 for report in monitor.reports.values())


def diagnosis_data(diagnosis: Any) -> dict[str, Any]:
    """Everything that `diagnose` found."""
    return {**dataclasses.asdict(diagnosis), "healthy": diagnosis.healthy}


def verification_data(verification: Any) -> dict[str, Any]:
    """Everything that `verify` found."""
    data = dataclasses.asdict(verification)
    for check, row in zip(verification.checks, data["checks"], strict=True):
        row["ok"] = check.ok
    return {**data, "ok": verification.ok, "complete": verification.complete}


def proof_data(proof: Any) -> dict[str, Any]:
    """Everything that `prove` found."""
    claims = {
        name: {**dataclasses.asdict(one), "verdict": one.verdict}
        for name, one in proof.claims.items()
    }
    return {
        "verdict": proof.verdict,
        "low": dict(proof.low),
        "high": dict(proof.high),
        "interrupted": proof.interrupted,
        "setup_seconds": proof.setup_seconds,
        "total_seconds": proof.total_seconds,
        "claims": claims,
    }


def comparison_data(
    names: Sequence[str], monitors: Sequence[Any], apart: Mapping[str, float]
) -> dict[str, Any]:
    """Everything that `compare` found."""
    return {
        "models": [
            {
                "file": name,
                "outputs": {
                    output: {
                        "verdict": dataclasses.asdict(report.verdict),
                        "units": report.units,
                        "numbers": dict(report.scalars),
                    }
                    for output, report in monitor.reports.items()
                },
            }
            for name, monitor in zip(names, monitors, strict=True)
        ],
        "apart": dict(apart),
    }


def comparison_tables(names: Sequence[str], monitors: Sequence[Any], width: int) -> list[Table]:
    """The numbers of two models side by side, one table per output that both have.

    Args:
        names: of the models.
        monitors: that have measured them.
        width: of the terminal, in columns.
    """
    a, b = (monitor.reports for monitor in monitors)
    pairs = [(a[output], b[output]) for output in a if output in b]
    return [_side_by_side(names, *pair, with_meanings=width >= WIDE) for pair in pairs]


def _side_by_side(names: Sequence[str], a: Any, b: Any, *, with_meanings: bool) -> Table:
    # Known values have one spread for both.
    apart = a.units == "std" and "r2" not in a.headline
    table = Table(
        box=box.SIMPLE_HEAD,
        title=shown(a.output, 40) or None,
        title_justify="left",
        caption="σy: of each model's own output; with --y that of y for both" if apart else None,
        caption_justify="left",
    )
    table.add_column("number", no_wrap=True)
    for name in names:
        table.add_column(shown(name, 24), justify="right", no_wrap=True)
    table.add_column("unit", style="dim", no_wrap=True)
    if with_meanings:
        table.add_column("meaning", style="dim")
    meanings = {**a.meanings, **b.meanings}
    for name in {**a.scalars, **b.scalars}:
        if name == "seconds":  # of the measurement, not of the model
            continue
        cells = [f"{r.scalars[name]:.4g}" if name in r.scalars else "–" for r in (a, b)]
        table.add_row(name, *cells, a.unit(name), *([meanings[name]] if with_meanings else []))
    return table


def shown(name: str, limit: int) -> str:
    """A name from data or the command line: it moves no cursor, and its end is kept."""
    kept = "".join(c for c in name if c.isprintable())
    return kept if len(kept) <= limit else f"{kept[: limit - 9]}…{kept[-8:]}"


def apart_text(apart: Mapping[str, float]) -> str:
    """How far two models are apart, in a sentence."""
    if not apart:
        return (
            "Their outputs have different names or shapes, so that they are not compared point by "
            "point."
        )
    parts = ", ".join(f"{name} {_share(number)}" for name, number in apart.items())
    return f"Root mean square difference at the points, relative to the first model: {parts}."


def _share(number: float) -> str:
    return f"{100 * number:.3g} %" if math.isfinite(number) else "– (0 in the first)"


def as_json(data: Any) -> str:
    """Strict JSON: what is not a finite number is null."""
    return json.dumps(_strict(data), indent=2, ensure_ascii=False, default=str)


def _strict(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _strict(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_strict(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data
