"""Whether the callbacks that read a monitor's numbers in `logs` come after it in Keras's list."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import keras

from keras_curvature.report.metrics import MEANINGS

FRAMES = 12
"""How far up Keras's list of callbacks is looked for."""


def require_order(monitor: keras.callbacks.Callback, name: str) -> None:
    """Raises for callbacks that would never see the numbers that they are to act on.

    Called while Keras begins a training: it tells a callback of no other one.

    Args:
        monitor: a callback.
        name: prefix of its numbers.

    Raises:
        ValueError: for a callback that watches one of the numbers and stands before the monitor.
    """
    for callback in _before(monitor):
        kind = type(callback).__name__
        numbers = (*MEANINGS, "step")
        read = [key for key in _keys_of(callback) if _is_ours(key, name, numbers)]
        if read:
            raise ValueError(
                f"`{kind}` reads {read[0]!r} and must come after the monitor that writes it. "
                f"Received: `callbacks=` with {kind} before it. Put the monitor first: "
                f"`callbacks=[monitor, {kind}(...)]`."
            )
        if isinstance(callback, keras.callbacks.CSVLogger):
            warnings.warn(
                f"`{kind}` stands before the monitor {name!r} and will have no column of its "
                f"numbers. Put the monitor first: `callbacks=[monitor, {kind}(...)]`.",
                stacklevel=2,
            )


def _before(monitor: keras.callbacks.Callback) -> Sequence[Any]:
    """The callbacks before it in the list that is calling, as far as that is known."""
    frame = inspect.currentframe()
    for _ in range(FRAMES):
        frame = None if frame is None else frame.f_back
        caller = None if frame is None else frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and monitor in caller.callbacks:
            return list(caller.callbacks)[: caller.callbacks.index(monitor)]
    return ()


def _keys_of(callback: Any) -> list[str]:
    """The names in `logs` that a callback says it reads."""
    path = str(getattr(callback, "filepath", ""))
    in_path = [part.partition("}")[0].partition(":")[0] for part in path.split("{")[1:]]
    watched = getattr(callback, "monitor", None)
    return [*([watched] if isinstance(watched, str) else []), *in_path]


def _is_ours(key: str, name: str, numbers: Collection[str]) -> bool:
    """Whether it is one of the monitor's own, of an output perhaps, and no metric of this name."""
    rest = key.removeprefix(f"{name}_")
    return rest != key and any(rest == one or rest.endswith(f"_{one}") for one in numbers)
