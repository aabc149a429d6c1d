"""Has contenders take turns at one work, so that the machine's moods meet all of them alike."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.race import work as works
from benchmarks.race.contenders import CALL, MACHINE, OURS, PRODUCTS, XLA, Contender, objection
from benchmarks.race.results import Measurement
from benchmarks.race.stems import NoResultError, Stems, Worker
from benchmarks.race.truth import truth
from benchmarks.race.work import Work


@dataclass(frozen=True)
class Pace:
    """How thoroughly to measure.

    Attributes:
        rounds: turns that everyone takes.
        turn: seconds that a turn lasts, or one call if that is longer.
        patience: seconds that the turns of one contender may take together, but it gets two.
    """

    rounds: int
    turn: float
    patience: float


THOROUGH = Pace(rounds=11, turn=0.06, patience=4.0)
QUICK = Pace(rounds=3, turn=0.02, patience=1.0)


def race(
    work: Work, contenders: Sequence[Contender], stems: Stems, pace: Pace
) -> list[Measurement]:
    """Measures all contenders at `work`.

    All start, one after the other, and do the work for the first time; then they take turns, in
    another order every round, while the others sleep.
    """
    rights = _rights(work, stems.folder)
    started = {}
    try:
        for contender in contenders:
            started[contender] = _start(work, contender, stems, rights)
        seconds = _take_turns(started, pace)
    finally:
        for worker in started.values():
            if isinstance(worker, Worker):
                worker.end()
    return [_measurement(work, who, started[who], seconds[who]) for who in contenders]


def _rights(work: Work, folder: Path) -> dict[str, Path]:
    """Files with the right result, and with that for the directions that this library draws."""
    found = {"": truth(work)}
    if work.quantity == works.TRACE:
        from benchmarks.race.peers.ours import own_directions

        found[CALL] = found[XLA] = truth(work, own_directions(work))
    files = {}
    for key, right in found.items():
        if right is not None:
            files[key] = folder / f"truth{key}.npy"
            np.save(files[key], right)
    return files


def _start(work: Work, contender: Contender, stems: Stems, rights: dict[str, Path]) -> Worker | str:
    """A worker, or why there is none."""
    reason = objection(contender, work)
    if reason is not None:
        return reason
    right = rights.get("")
    if contender.peer in (MACHINE, PRODUCTS):
        right = None
    elif contender.peer == OURS:
        right = rights.get(contender.mode, right)
    try:
        return stems.worker(work, contender, right)
    except NoResultError as failure:
        return str(failure)


def _take_turns(
    started: dict[Contender, Worker | str], pace: Pace
) -> dict[Contender, list[float] | str]:
    """Seconds in each round, or what went wrong."""
    seconds: dict[Contender, list[float] | str] = {
        who: worker if isinstance(worker, str) else [] for who, worker in started.items()
    }
    order = list(started.items())
    shuffle = random.Random(0).shuffle
    for turn in range(pace.rounds):
        shuffle(order)
        for who, worker in order:
            so_far = seconds[who]
            if isinstance(worker, str) or isinstance(so_far, str) or turn >= _turns(worker, pace):
                continue
            found = _turn(worker, pace)
            seconds[who] = found if isinstance(found, str) else [*so_far, found]
    return seconds


def _turn(worker: Worker, pace: Pace) -> float | str:
    calls = math.ceil(pace.turn / worker.trial.again)
    try:
        return statistics.median(worker.times(calls))
    except NoResultError as failure:
        return str(failure)


def _turns(worker: Worker, pace: Pace) -> int:
    return max(2, int(pace.patience / max(worker.trial.again, pace.turn)))


def _measurement(
    work: Work, who: Contender, worker: Worker | str, seconds: list[float] | str
) -> Measurement:
    names = (work.name, who.peer, who.recipe, who.mode)
    if isinstance(worker, str) or isinstance(seconds, str):
        return Measurement(*names, failure=str(seconds))
    trial = worker.trial
    return Measurement(*names, None, trial.first, tuple(seconds), trial.peak, trial.error)
