"""The numbers of a step in `logs`, which Keras hands from callback to callback."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

from keras_curvature.monitor.meant import advice
from keras_curvature.report.data import ALL, HEADLINE, Reports

STEP = "step"
"""Says which step the numbers are of."""


class Logs:
    """Adds a monitor's numbers to `logs`.

    Args:
        name: prefix of their names there.
        wanted: which: `"headline"`, `"all"`, `None` or names.
        leaves_out: whether epochs are left out, so that `logs` must say which step this is.
    """

    def __init__(self, name: str, wanted: Any, leaves_out: bool) -> None:
        self._name, self._wanted = name, _checked(wanted)
        self._says_step = wanted is not None and (leaves_out or STEP in wanted)
        self._last: dict[str, float] = {}
        self._has_warned = False

    @property
    def names(self) -> Collection[str]:
        """Of the numbers there, without the prefix."""
        return self._last.keys()

    def require(self, known: Reports) -> None:
        """Raises ValueError for a name that none of the numbers has."""
        if isinstance(self._wanted, str | None):
            return
        for name in self._wanted:
            if name != STEP and not known.numbers([name]):
                said = " ".join(filter(None, [advice(name, known.numbers()), "It"]))
                raise ValueError(
                    f"`logs` has {name!r} in it, which is no number's name. {said} must be "
                    "'headline', 'all', None or a list of names among "
                    f"{[*known.numbers(), STEP]}. Received: {list(self._wanted)}."
                )

    def publish(self, reports: Reports, step: int, logs: dict[str, Any] | None) -> None:
        """Adds the numbers of a step, with a warning where another monitor has done so.

        Args:
            reports: of the step; none if it failed, which leaves NaN under the names of the step
                before: lists of Keras's history keep their length.
            step: which it is.
            logs: `None` where Keras has none, as before the first epoch.
        """
        before = self._last
        self._last = dict.fromkeys(before, float("nan"))
        if reports:
            when = {STEP: float(step)} if self._says_step else {}
            self._last = reports.numbers(self._wanted) | when
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


def _checked(wanted: Any) -> str | Sequence[str] | None:
    """The choice, as far as it can be judged before anything is measured."""
    if wanted is None or (isinstance(wanted, str) and wanted in (HEADLINE, ALL)):
        return wanted
    named = isinstance(wanted, list | tuple) and all(isinstance(name, str) for name in wanted)
    if not named:
        raise ValueError(
            "`logs` must be 'headline' (the numbers to look at first), 'all', None (nothing) or a "
            f"list of names as in `history`, such as ['rms', 'p95']. Received: {wanted!r}."
        )
    return tuple(wanted)
