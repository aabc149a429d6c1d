"""Measures this library beside its peers and writes what was found.

python -m benchmarks.race                         # all of it, into benchmarks/RESULTS.md
python -m benchmarks.race --quick                 # a look, into build/benchmarks
python -m benchmarks.race --only 'trace.*folx'    # some of 'work: contender', with this library
python -m benchmarks.race --report                # writes the last measurements down again
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import psutil

from benchmarks.race import chart, work
from benchmarks.race.conditions import conditions
from benchmarks.race.contenders import OURS, Contender, field
from benchmarks.race.goals import goals
from benchmarks.race.race import QUICK, THOROUGH, race
from benchmarks.race.report import report
from benchmarks.race.results import Measurement, Run
from benchmarks.race.stems import Limits, Stems
from benchmarks.race.work import Work

HERE = Path(__file__).resolve().parents[1]
KEPT = HERE.parent / "build" / "benchmarks"
MEASUREMENTS = KEPT / "measurements.json"

LIMITS = Limits(seconds=120, memory=psutil.virtual_memory().total // 2)
"""Of one process, until its first result is there."""


def main() -> None:
    """Measures, and writes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.race",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", metavar="PATTERN", help="a regular expression")
    parser.add_argument("--cores", type=int, default=2, help="for everyone (default: 2)")
    parser.add_argument("--report", action="store_true", help="do not measure")
    arguments = parser.parse_args()
    if arguments.report:
        write(Run.load(MEASUREMENTS))
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    run = Run(
        complete=not (arguments.quick or arguments.only),
        conditions=conditions(arguments.cores, "quick" if arguments.quick else "thorough"),
    )
    begin = time.monotonic()
    for found in measure(arguments.only, quick=arguments.quick):
        run = run.with_more(found)
        run.save(MEASUREMENTS)  # a run is long: what was found is not lost
    minutes = (time.monotonic() - begin) / 60
    run = run.with_condition("duration", f"{minutes:.0f} minutes")
    run.save(MEASUREMENTS)
    write(run)


def measure(only: str | None, *, quick: bool) -> Iterator[list[Measurement]]:
    """All works, one after the other."""
    with Stems(LIMITS) as stems:
        for some in work.EVERYTHING:
            contenders = chosen(some, only)
            if contenders:
                print(f"\n{some.title} ({some.name})", flush=True)
                found = race(some, contenders, stems, QUICK if quick else THOROUGH)
                for measurement in found:
                    print(f"  {line(measurement)}", flush=True)
                yield found


def chosen(some: Work, only: str | None) -> list[Contender]:
    """Who takes part, and this library for comparison whenever anyone does."""
    everyone = field(some)
    if only is None:
        return everyone
    wanted = [c for c in everyone if re.search(only, f"{some.name}: {c.name}")]
    ours = [c for c in everyone if c.peer == OURS and c.recipe == "auto"]
    return list(dict.fromkeys([*ours, *wanted])) if wanted else []


def line(m: Measurement) -> str:
    """One measurement for the terminal."""
    who = f"{m.peer}: {m.way}"
    if not m.seconds:
        return f"{who:45s} n/a: {m.failure}"[:160]
    low, high = (1e3 * seconds for seconds in m.quartiles)
    peak = "" if m.peak is None else f"{m.peak / 2**20:6.0f} MiB"
    error = "" if m.error is None else f"  error {m.error:.0e}"
    times = f"{1e3 * m.median:9.2f} ms ({low:.2f} - {high:.2f})"
    return f"{who:45s}{times:36s} first {m.first:6.2f} s {peak}{error}"


def write(run: Run) -> None:
    """Report and chart: in benchmarks/ if nothing was left out."""
    folder = HERE if run.complete else KEPT
    chart.draw(run, folder / "results.png")
    (folder / "RESULTS.md").write_text(report(run, "results.png"))
    print(f"\nWritten: {folder / 'RESULTS.md'}")
    missed = [goal.what for goal in goals(run) if goal.reached is False]
    for what in missed:
        print(f"Not reached: {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
