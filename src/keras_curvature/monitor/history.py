"""The numbers of a training, step by step: lists of one length under their names."""

from __future__ import annotations

from typing import Any, NoReturn

from keras_curvature.monitor.meant import advice


class History(dict[str, list[Any]]):
    """By name the values at each measured step; `"step"` says which these are."""

    def __init__(self) -> None:
        super().__init__(step=[])

    def __missing__(self, name: str) -> NoReturn:
        """Raises for a name that no number has.

        Raises:
            KeyError: with the names that there are.
        """
        if not self["step"]:
            raise KeyError(
                f"`history[...]` is empty: nothing has been measured at a step of a training yet. "
                f"Pass the monitor to `model.fit`. Received: {name!r}."
            )
        said = " ".join(filter(None, [advice(str(name), self), "There are"]))
        raise KeyError(f"`history` has no number {name!r}. {said} {list(self)}.")


def record(history: dict[str, list[Any]], step: int, numbers: dict[str, float]) -> None:
    """Appends a step, NaN where a number is not known at it or was not before."""
    count = len(history["step"])
    for key in numbers:
        history.setdefault(key, [float("nan")] * count)
    for key, values in history.items():
        values.append(step if key == "step" else numbers.get(key, float("nan")))


def forget_after(history: dict[str, list[Any]], step: int) -> None:
    """Drops what came after a backup from which the training goes on."""
    count = sum(measured <= step for measured in history["step"])
    for values in history.values():
        del values[count:]
