"""What goes wrong while a training is watched, and what becomes of it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Something that went wrong, each time that it did.

    Attributes:
        doing: what failed: to `"measure"`, `"write the log"`, `"draw"`, ….
        kind: the exception's class.
        message: what the exception said when it first came.
        first: step at which it first came.
        last: step at which it last came.
        count: how often it came.
    """

    doing: str
    kind: str
    message: str
    first: int
    last: int
    count: int

    def __str__(self) -> str:
        """In one sentence."""
        steps = f"at step {self.first}"
        if self.count > 1:
            steps = f"{self.count} times from step {self.first} to {self.last}"
        return f"could not {self.doing} {steps}: {self.kind}: {self.message}"


class Tolerance:
    """Does what may fail: lets it raise, or notes it, warns once of its kind and goes on.

    A tolerant one lets pass only what is no `Exception`, such as `KeyboardInterrupt`.

    Args:
        tolerant: whether to go on.
        who: begins each warning.
    """

    def __init__(self, tolerant: bool, who: str) -> None:
        self.tolerant = tolerant
        self._who = who
        self._kinds: dict[tuple[str, str], Fault] = {}
        self._untold = False

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What has gone wrong so far, one entry per kind."""
        return tuple(self._kinds.values())

    @property
    def untold(self) -> bool:
        """Whether something has gone wrong since `told` was last called."""
        return self._untold

    def told(self) -> None:
        """Notes that all faults have reached their reader."""
        self._untold = False

    def complain(self, error: Exception) -> None:
        """Raises an error that is found before training starts, or warns of it."""
        if not self.tolerant:
            raise error
        warnings.warn(str(error), stacklevel=4)

    def attempt(self, step: int, doing: str, work: Callable[[], object]) -> bool:
        """Whether `work()` succeeded."""
        try:
            work()
        except Exception as error:
            if not self.tolerant:
                raise
            self._note(step, doing, error)
            return False
        return True

    def _note(self, step: int, doing: str, error: Exception) -> None:
        self._untold = True
        key = (doing, type(error).__name__)
        known = self._kinds.get(key)
        if known is not None:
            self._kinds[key] = dataclasses.replace(known, last=step, count=known.count + 1)
            return
        fault = Fault(*key, str(error), step, step, 1)
        self._kinds[key] = fault
        warnings.warn(
            f"{self._who} {str(fault).rstrip('.')}. The training goes on; further faults of this "
            "kind are only counted, see `callback.faults`.",
            stacklevel=5,
        )
