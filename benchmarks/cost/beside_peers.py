"""What the tables of a backend are made of: times in turns, peaks of memory, ratios, rows."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Call = Callable[[], Any]
"""Computes, and waits until it has done so."""

Row = dict[str, str]
"""The cells of a line of the table."""

Task = tuple[str, Callable[[str], Row]]
"""A title, and what measures it."""


def milliseconds(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """The best of some calls of each, in turns."""
    found = dict.fromkeys(calls, float("inf"))
    for turn in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if turn:
                found[name] = min(found[name], 1e3 * (time.perf_counter() - begin))
    return found


def mebibytes(call: Call) -> float:
    """What a call adds to the process at its peak, the most of five."""
    call()
    found = []
    for _ in range(5):
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _kibibytes("VmRSS")
        call()
        found.append(_kibibytes("VmHWM") - before)
    return max(found) / 1024


def _kibibytes(name: str) -> int:
    line = re.search(rf"{name}:\s*(\d+)", Path("/proc/self/status").read_text())
    assert line is not None
    return int(line[1])


def apart(module: str, call: str, **environment: str) -> Any:
    """What a function of a module of this folder returns in a process of its own."""
    code = f"import json; from benchmarks.cost import {module}; print(json.dumps({module}.{call}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def best_of_two(module: str, call: str) -> dict[str, float]:
    """The better one of two processes: some have all of a way's calls slow."""
    one, other = apart(module, call), apart(module, call)
    return {name: min(one[name], other[name]) for name in one}


def row(
    title: str, found: Mapping[str, float], mine: Iterable[str], unit: str, peers: Mapping[str, str]
) -> Row:
    """What this library takes at its best, how it was called, and the ratios to the peers."""
    way = min(mine, key=lambda name: found[name])
    ratios = {peers[name]: f"{found[name] / found[way]:.2f}" for name in peers if name in found}
    return {"": title, "here": f"{found[way]:.1f} {unit}", "how": way, **ratios}


def line(cells: Iterable[str]) -> str:
    """Of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def write_table(
    about: str, tasks: Iterator[Task], peers: Iterable[str], results: Path, introduction: str
) -> None:
    """Measures and prints, and writes what it has measured if that is everything.

    Args:
        about: the command, for its help.
        tasks: all rows.
        peers: the heads of their columns.
        results: the file.
        introduction: what stands above the table.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--only", default="", help="of which titles")
    only = parser.parse_args().only
    columns = ["", "here", "how", *peers]
    lines = [line(columns), line(["---", *["---:"] * (len(columns) - 1)])]
    print(*lines, sep="\n", flush=True)
    for title, measure in tasks:
        if re.search(only, title):
            found = measure(title)
            lines.append(line(found.get(column, "") for column in columns))
            print(lines[-1], flush=True)
    if not only:
        results.write_text(f"{introduction}\n" + "\n".join(lines) + "\n")
