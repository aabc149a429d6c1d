"""The comparison's ratios are those of benchmarks/RESULTS.md, and the parser is right."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from benchmarks.race import report
from benchmarks.race import work as works
from benchmarks.race.contenders import OURS
from benchmarks.race.results import Measurement, Run

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("ratios", ROOT / "docs" / "ratios.py")
ratios = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ratios)


@pytest.mark.parametrize("page", ratios.PEERS)
def test_a_page_shows_what_was_measured(page):
    text = (ROOT / page).read_text()
    assert text.count(ratios.BEGIN) == text.count(ratios.END) == 1
    assert text == ratios.filled(page, text), "run: python docs/ratios.py"


def test_the_groups_are_those_of_the_report():
    """One of another name would leave its rows out, and nobody would miss them."""
    assert set(ratios.GROUPS) <= {title for title, *_ in report.GROUPS}


def test_ratios_are_read_from_a_report():
    first, second = works.EXACT[:2]
    grown = next(iter(works.GROWTH["points"].values()))
    right = {"first": 1.0, "peak": 2**20, "error": 1e-7}
    wrong = right | {"error": 0.5}
    unknown = right | {"peak": None}
    run = Run(
        measurements=(
            Measurement(first.name, OURS, "auto", "call", seconds=(0.1, 0.1), **right),
            Measurement(first.name, "TensorFlow", "loop", "graph", seconds=(0.2, 0.2), **right),
            Measurement(first.name, "folx", "dense", "jit", seconds=(0.05, 0.05), **wrong),
            Measurement(second.name, OURS, "auto", "call", seconds=(0.1,), **right),
            Measurement(second.name, "folx", "dense", "jit", failure="computes Laplacians only"),
            Measurement(grown.name, OURS, "auto", "call", seconds=(0.1,), **unknown),
        )
    )
    text = report.report(run, "results.png")
    assert "| 100 ms, n/a MiB |" in text
    assert list(ratios.ratios(text)) == [
        (first.title, {f"**{OURS}**": "1.00", "TensorFlow": "2.00", "folx": "0.50, wrong"}),
        (second.title, {f"**{OURS}**": "1.00"}),
    ]
    assert ratios.table(text, ("TensorFlow", "torch.func", "folx")).splitlines() == [
        "|  | TensorFlow | folx |",
        "| --- | ---: | ---: |",
        f"| {first.title} | 2.00 | 0.50, wrong |",
    ]
