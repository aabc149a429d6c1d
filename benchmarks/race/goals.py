"""What this library promises beside its peers, and whether a run keeps it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.race import work as works
from benchmarks.race.contenders import BY_HAND, FOLX, PRODUCTS, TENSORFLOW
from benchmarks.race.findings import compiling, operations, ours, peak_rate, times_as_fast
from benchmarks.race.results import Run, ratio
from benchmarks.race.work import Work


@dataclass(frozen=True)
class Goal:
    """A number asked for.

    Attributes:
        what: in words.
        asked: the threshold.
        measured: what was found, `None` if it was not measured.
        at_least: whether more is better.
        unit: behind both numbers.
        bound: what the matrix products alone would reach, `None` if that is not known.
        by_hand: what code written for this network alone reaches, `None` if there is none.
    """

    what: str
    asked: float
    measured: float | None
    at_least: bool = True
    unit: str = "×"
    bound: float | None = None
    by_hand: float | None = None

    @property
    def reached(self) -> bool | None:
        """`None` if it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.asked if self.at_least else self.measured <= self.asked


def goals(run: Run) -> Iterator[Goal]:
    """All of them, in the order of the report."""
    yield from _speed(run)
    yield from _memory(run)
    yield _rate(run)
    yield from _growth(run)
    yield from _compilation(run)


FASTER: tuple[tuple[list[Work], dict[str, float]], ...] = (
    (works.tanh(works.LAPLACIAN, (1, 1000), (8, 512), (64, 128)), {TENSORFLOW: 1.8, FOLX: 1.0}),
    ([Work(works.LAPLACIAN, works.WIDE, 64)], {TENSORFLOW: 15, FOLX: 6}),
    (works.tanh(works.DIAGONAL, (8, 512), (64, 128)), {TENSORFLOW: 1.5}),
    (works.tanh(works.HESSIAN, (64, 128)), {TENSORFLOW: 1.3}),
    ([*works.TRACES, *works.DEEP_TRACES], {TENSORFLOW: 1.8}),
    (works.STEPS, {TENSORFLOW: 1.5}),
)
"""How many times as fast as a peer's fastest way, at each of some works."""


SPEEDS = {TENSORFLOW: "speed, of TensorFlow's best recipe", FOLX: "speed, of folx"}


def _speed(run: Run) -> Iterator[Goal]:
    for some, asked in FASTER:
        for peer, times in asked.items():
            for work in some:
                mine, best = ours(run, work), run.best(work.name, peer)
                measured = ratio(best, mine) if mine and best else None
                what = f"{work.title}: {SPEEDS[peer]}"
                bound, by_hand = (
                    times_as_fast(run, work, peer, other) for other in (PRODUCTS, BY_HAND)
                )
                yield Goal(what, times, measured, bound=bound, by_hand=by_hand)


def _memory(run: Run) -> Iterator[Goal]:
    for work in (works.DENSE, *works.DEEP_TRACES):
        mine, best = ours(run, work), run.best(work.name, TENSORFLOW)
        measured = mine.peak / best.peak if mine and best and mine.peak and best.peak else None
        what = f"{work.title}: peak memory, of TensorFlow's best recipe"
        yield Goal(what, 0.5, measured, at_least=False)


def _rate(run: Run) -> Goal:
    mine, peak = ours(run, works.DENSE), peak_rate(run)
    measured = operations(works.DENSE) / mine.median / peak if mine and peak else None
    what = f"{works.DENSE.title}: arithmetic rate, of a large matrix product"
    return Goal(what, 55, None if measured is None else 100 * measured, unit=" %")


def _growth(run: Run) -> Iterator[Goal]:
    for what, low, high in (("points", 10**4, 10**5), ("inputs", 64, 1024)):
        a, b = (ours(run, works.GROWTH[what][size]) for size in (low, high))
        power = math.log(b.median / a.median, high / low) if a and b else None
        title = f"Laplacian: time grows with {what}, {low:,} to {high:,}, to the power"
        yield Goal(title, 1.1, power, at_least=False, unit="")
    a, b = (ours(run, works.GROWTH["points"][size]) for size in (10**4, 10**5))
    times = b.peak / a.peak if a and b and a.peak and b.peak else None
    title = "Laplacian: peak memory with 100,000 points, of that with 10,000"
    yield Goal(title, 1.25, times, at_least=False)


def _compilation(run: Run) -> Iterator[Goal]:
    mine = [ours(run, work) for work in works.EXACT]
    spent = [compiling(m) for m in mine if m is not None]
    what = "Tracing and compiling: the slowest of the tanh networks above"
    yield Goal(what, 3, max(spent, default=None), at_least=False, unit=" s")
    deep = ours(run, works.RESNET)
    what = f"Tracing and compiling: {works.RESNET.network.name}, curvature along a direction"
    yield Goal(what, 30, compiling(deep) if deep else None, at_least=False, unit=" s")
