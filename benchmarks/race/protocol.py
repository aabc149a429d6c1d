"""What the parent and a worker say to each other."""

from __future__ import annotations

import base64
import pickle
from dataclasses import dataclass

from benchmarks.race.contenders import Contender
from benchmarks.race.work import Work

READY = "ready"
"""What a stem says once everything is imported."""


@dataclass(frozen=True)
class Request:
    """What a worker is to do.

    Attributes:
        address: of the socket to talk through.
        work: the work.
        contender: the way.
        truth: file with the right result, if there is one.
        log: file for what the framework prints.
    """

    address: str
    work: Work
    contender: Contender
    truth: str | None
    log: str

    def line(self) -> str:
        """For the stem's standard input."""
        return base64.b64encode(pickle.dumps(self)).decode() + "\n"

    @classmethod
    def of(cls, line: str) -> Request:
        """The inverse of `line`."""
        request: Request = pickle.loads(base64.b64decode(line))
        return request


@dataclass(frozen=True)
class Trial:
    """What the first calls cost; see `results.Measurement`."""

    first: float
    again: float
    peak: int | None
    error: float | None
