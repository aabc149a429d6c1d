"""What was measured: plain data, kept as JSON so that the report can be written again."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """One contender at one work.

    Attributes:
        work: its name.
        peer: whose it is.
        recipe: which way.
        mode: run how.
        failure: why there is no number, if there is none.
        first: seconds of the first call, which traces and compiles.
        seconds: of a call after that, the median of each round.
        peak: bytes above the process's base, the most that was ever held.
        error: the largest, relative to the largest right number.
    """

    work: str
    peer: str
    recipe: str
    mode: str
    failure: str | None = None
    first: float | None = None
    seconds: tuple[float, ...] = ()
    peak: int | None = None
    error: float | None = None

    @property
    def median(self) -> float:
        """Seconds of a call."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which half of the rounds lie."""
        if len(self.seconds) < 2:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    @property
    def way(self) -> str:
        """Recipe and mode, without repeating the peer."""
        parts = [part for part in (self.recipe, self.mode) if part != self.peer]
        return ", ".join(parts)


def ratio(a: Measurement, b: Measurement) -> float:
    """How many times as long as `b` `a` takes: the median over the rounds that saw both."""
    return statistics.median(x / y for x, y in zip(a.seconds, b.seconds, strict=False))


@dataclass(frozen=True)
class Run:
    """Everything that one run measured.

    Attributes:
        complete: whether everything was measured thoroughly.
        conditions: of the machine and the programs, by name.
        measurements: in the order of the works.
    """

    complete: bool = False
    conditions: dict[str, str] = field(default_factory=dict)
    measurements: tuple[Measurement, ...] = ()

    def of(self, work: str, peer: str | None = None) -> list[Measurement]:
        """All of one work, or of one peer in it."""
        return [m for m in self.measurements if m.work == work and peer in (None, m.peer)]

    def best(self, work: str, peer: str) -> Measurement | None:
        """The fastest of a peer's ways that gave a result."""
        return min(_successes(self.of(work, peer)), key=lambda m: m.median, default=None)

    def with_more(self, measurements: Iterable[Measurement]) -> Run:
        """The same with more of them."""
        return replace(self, measurements=(*self.measurements, *measurements))

    def with_condition(self, name: str, value: str) -> Run:
        """The same with another condition."""
        return replace(self, conditions=self.conditions | {name: value})

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, path: Path) -> Run:
        """What `save` wrote."""
        kept = json.loads(path.read_text())
        measurements = [
            Measurement(**(found | {"seconds": tuple(found["seconds"])}))
            for found in kept["measurements"]
        ]
        return cls(kept["complete"], kept["conditions"], tuple(measurements))


def _successes(measurements: Iterable[Measurement]) -> list[Measurement]:
    return [m for m in measurements if m.seconds]
