"""One contender at one work, in a process of its own.

A stem imports a framework once and is forked for each measurement: the child is as fresh as a
new process, without the seconds that an import takes. It prepares the work, does it for the
first time, tells what that cost, and then does it again as often as it is asked to, so that
several such processes can take turns while the others sleep.

    python -m benchmarks.race.worker tensorflow_recipes
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.race.protocol import READY, Request, Trial
from benchmarks.race.truth import relative_error

WARM_UP_LIMIT = 0.5
"""Seconds of a call beyond which a sleep before it no longer shows."""


def main() -> None:
    """The stem."""
    module = importlib.import_module(f"benchmarks.race.peers.{sys.argv[1]}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    print(READY, flush=True)
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _take_part(Request.of(line), module)
            os._exit(0)


def _take_part(request: Request, module: Any) -> None:
    log = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    with Client(request.address) as parent:
        parent.send(os.getpid())
        try:
            contender = request.contender
            run = module.prepare(request.work, contender.recipe, contender.mode)
            parent.send(_trial(run, request.truth))
        except Exception as error:  # whatever a framework raises is the result
            parent.send(f"{type(error).__name__}: {_first_line(str(error))}")
            raise
        while calls := parent.recv():
            parent.send(_times(run, calls))


def _trial(run: Callable[[], Any], truth: str | None) -> Trial:
    base = _reset_peak()
    begin = time.perf_counter()
    result = run()
    first = time.perf_counter() - begin
    found = _array(result)  # of the first call: a training step moves the weights
    del result
    again = _time(run)
    peak = None if base is None else _peak() - base
    error = None if truth is None else relative_error(found, np.load(truth))
    return Trial(first, again, peak, error)


def _times(run: Callable[[], Any], calls: int) -> list[float]:
    warm_up = _time(run)
    if warm_up > WARM_UP_LIMIT:
        return [warm_up]
    return [_time(run) for _ in range(calls)]


def _time(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _array(result: Any) -> np.ndarray:
    """A result of any framework; a list of arrays in one row."""
    if isinstance(result, (list, tuple)):
        return np.concatenate([np.ravel(_array(part)) for part in result])
    return np.array(result.detach() if hasattr(result, "detach") else result)


def _reset_peak() -> int | None:
    """Resident bytes, from which on the peak is counted; only Linux counts it per process."""
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    reset.write_text("5")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


if __name__ == "__main__":
    main()
