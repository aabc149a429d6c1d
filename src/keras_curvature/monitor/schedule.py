"""When to measure, and when to draw."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PICTURE_SHARE = 0.01
"""Share of the time since training began that drawing pictures may take."""

FIRST_AFTER = 5.0
"""Seconds of training before the first picture: a training that is over by then has its last one
only, which is drawn in any case."""


@dataclass(frozen=True)
class Due:
    """Whether to measure at the end of an epoch, counted from 0 as Keras does.

    Attributes:
        freq: `"epoch"`, an int n for every n-th epoch, or a function of the epoch.

    Raises:
        ValueError: for an int below 1.
        TypeError: for anything else.

    Example:
        >>> [Due(3)(epoch) for epoch in range(4)]
        [False, False, True, False]
    """

    freq: Any

    def __post_init__(self) -> None:
        """Checks what was asked for."""
        if self.freq == "epoch" or callable(self.freq):
            return
        expected = "`freq` must be 'epoch', an int of at least 1, or a function of the epoch."
        if isinstance(self.freq, bool) or not isinstance(self.freq, int):
            raise TypeError(f"{expected} Received: {self.freq!r}.")
        if self.freq < 1:
            raise ValueError(f"{expected} Received: {self.freq}.")

    def __call__(self, epoch: int) -> bool:
        """For one epoch."""
        if self.freq == "epoch":
            return True
        return bool(self.freq(epoch)) if callable(self.freq) else (epoch + 1) % self.freq == 0


def leaves_out(freq: Any) -> bool:
    """Whether some epochs may not be measured."""
    return freq not in ("epoch", 1)


def continued(epoch: int, offset: int, ended: int) -> int:
    """What to add to Keras's epochs so that several trainings make one curve.

    A training that counts from 0 again goes on where the one before ended; one that counts on
    (`initial_epoch`) keeps its count; one that was restored from a backup goes back to it.

    Args:
        epoch: with which Keras begins now.
        offset: what was added in the training before.
        ended: the step at which that one ended; 0 if there was none.

    Example:
        >>> continued(0, 0, 3), continued(3, 0, 3), continued(2, 0, 3), continued(1, 3, 5)
        (3, 0, 0, 3)
    """
    if epoch == 0:
        return ended
    if epoch + offset <= ended:
        return offset
    return 0 if epoch >= ended else offset


class PictureBudget:
    """Lets a picture be drawn as often as it costs little beside the training.

    Drawing takes longer than measuring. The first picture is allowed after `FIRST_AFTER`; after
    that the time spent on pictures stays below `PICTURE_SHARE` of the time since the start, so
    that a short epoch is not held up and a long one gets its picture each time.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start = clock()
        self._spent = 0.0
        self._last = 0.0

    @property
    def begun(self) -> bool:
        """Whether a picture has been drawn."""
        return self._spent > 0

    def allows(self) -> bool:
        """Whether one more picture, as slow as the last one, stays within the budget."""
        elapsed = self._clock() - self._start
        if self._spent == 0.0:
            return elapsed >= FIRST_AFTER
        return self._spent + self._last <= PICTURE_SHARE * elapsed

    @contextlib.contextmanager
    def spending(self) -> Iterator[None]:
        """Counts the time inside as spent."""
        begin = self._clock()
        try:
            yield
        finally:
            self._last = self._clock() - begin
            self._spent += self._last
