"""The numbers of a step in `logs`, which Keras hands from callback to callback."""

from __future__ import annotations

import warnings
from typing import Any


class Logs:
    """Adds a monitor's numbers to `logs`.

    Args:
        name: prefix of their names there.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: dict[str, float] = {}
        self._has_warned = False

    def publish(self, numbers: dict[str, float], logs: dict[str, Any] | None) -> None:
        """Adds the numbers of a step, with a warning where another monitor has done so.

        Args:
            numbers: by name; none if the step failed, which leaves NaN under the names of the
                step before: lists of Keras's history keep their length.
            logs: `None` where Keras has none, as before the first epoch.
        """
        before = self._last
        self._last = numbers or dict.fromkeys(before, float("nan"))
        self._add(before, logs)

    def repeat(self, logs: dict[str, Any] | None) -> None:
        """Adds the numbers of the step before once more, for an epoch that is not measured.

        Keras's callbacks take NaN for a first best value that nothing improves on, save at each
        epoch that lacks the number to save by, and write no columns that the first epoch lacks.

        Args:
            logs: `None` where Keras has none.
        """
        self._add(self._last, logs)

    def _add(self, before: dict[str, float], logs: dict[str, Any] | None) -> None:
        if logs is None:
            return
        # A loop of the user's own may hand the same dict to every epoch.
        taken = [
            key
            for key in self._last
            if (named := f"{self._name}_{key}") in logs and logs[named] is not before.get(key)
        ]
        if taken and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"Another callback has written `{self._name}_{taken[0]}` to `logs` in this epoch, "
                "and is overwritten. Give each of several monitors in one training its own "
                f"`name`. Received for this one: name={self._name!r}.",
                stacklevel=5,
            )
        logs.update({f"{self._name}_{key}": value for key, value in self._last.items()})
