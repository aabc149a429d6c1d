"""What Taylor propagation takes with the batch as a whole, and in two halves side by side.

Both in one process, in turns: `make bench-halves`; called plainly, then compiled by XLA. The last
column is what the library does by itself.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator
from unittest import mock

from benchmarks.race import work as works
from benchmarks.race.contenders import CALL, XLA
from benchmarks.race.peers import ours
from benchmarks.race.work import Work
from keras_curvature.engines.tensorflow import parallel_halves

ROUNDS = 15

WORKS = [
    *works.tanh(works.LAPLACIAN, (16, 64), (4, 512), *works.SIZES),
    *works.tanh(works.DIAGONAL, *works.SIZES[1:]),
    *works.tanh(works.HESSIAN, *works.SIZES[1:]),
    works.GROWTH["depth"][32],
    works.TRACES[0],
    works.DEEP_TRACES[0],
]
COMPILED = [
    *works.tanh(works.LAPLACIAN, *works.SIZES),
    works.GROWTH["depth"][32],
    *works.TRACES,
    works.DEEP_TRACES[1],
]
"""For XLA, which is slow at a ResNet."""

WAYS = {
    "whole": {"LEAST_NUMBERS": math.inf, "LEAST_OPS": math.inf},
    "halves": {"LEAST_NUMBERS": 0, "MOST_OPS": math.inf, "LEAST_OPS": 0},
}


@contextlib.contextmanager
def limits(numbers: dict[str, float]) -> Iterator[None]:
    """Sets the constants by which the library decides."""
    with contextlib.ExitStack() as stack:
        for name, number in numbers.items():
            stack.enter_context(mock.patch.object(parallel_halves, name, number))
        yield


def prepared(work: Work, mode: str, numbers: dict[str, float]) -> Callable[[], object]:
    """A call of the library, after the first two."""
    with limits(numbers):
        call = ours.prepare(work, "taylor", mode)
        call()
        call()
    return call


def measure(work: Work, mode: str) -> dict[str, list[float]]:
    """Seconds of a call, by the way."""
    calls = {way: prepared(work, mode, numbers) for way, numbers in WAYS.items()}
    calls["default"] = prepared(work, mode, {})
    found: dict[str, list[float]] = {way: [] for way in calls}
    for _ in range(ROUNDS):
        for way, call in calls.items():
            call()
            begin = time.perf_counter()
            call()
            found[way].append(time.perf_counter() - begin)
    return found


def main() -> None:
    """Prints a table."""
    print("| work | whole, ms | halves, ms | by itself, ms |")
    print("|---|---|---|---|")
    for work, mode in [*((work, CALL) for work in WORKS), *((work, XLA) for work in COMPILED)]:
        seconds = measure(work, mode)
        figures = " | ".join(f"{1e3 * statistics.median(found):.3g}" for found in seconds.values())
        depth = f", {work.network.depth} layers" if work is works.GROWTH["depth"][32] else ""
        compiled = ", XLA" if mode == XLA else ""
        print(f"| {work.title}{depth}{compiled} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
