"""Whether the callbacks that read a monitor's numbers in `logs` will find them there."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import keras

from keras_curvature.monitor.meant import advice, closest
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
    every = callbacks_around(monitor)
    before = every[: every.index(monitor)] if every else []
    numbers = (*MEANINGS, "step")
    for callback, key, number in _readers(before, name):
        if any(number == one or number.endswith(f"_{one}") for one in numbers):
            kind = type(callback).__name__
            raise ValueError(
                f"`{kind}` reads {key!r} and must come after the monitor that writes it. "
                f"Received: `callbacks=` with {kind} before it. Put the monitor first: "
                f"`callbacks=[monitor, {kind}(...)]`."
            )
    for callback in before:
        if isinstance(callback, keras.callbacks.CSVLogger):
            kind = type(callback).__name__
            warnings.warn(
                f"`{kind}` stands before the monitor {name!r} and will have no column of its "
                f"numbers. Put the monitor first: `callbacks=[monitor, {kind}(...)]`.",
                stacklevel=2,
            )


def require_written(
    monitor: keras.callbacks.Callback, name: str, known: Collection[str], written: Collection[str]
) -> None:
    """Raises for callbacks that watch a number which the monitor does not write to `logs`.

    Args:
        monitor: a callback; it has measured.
        name: prefix of its numbers.
        known: the numbers that were measured.
        written: those that are written.

    Raises:
        ValueError: for a number that was measured and is not written, for one that is not
            measured in this training, for a name that is nearly one, and for one of which it is not
            said whether it is better small or large. What else begins with the name may be a
            metric, or be written by the user's own code; where that is not so, it is an error too.
    """
    callbacks = callbacks_around(monitor)
    for callback, key, number in _readers(callbacks, name):
        if number in written:
            _require_mode(callback, key)
        close = closest(number, known)
        ours = number in {*known, *MEANINGS} or close
        if number in written or not (ours or _nobody_else_writes(key, monitor, callbacks)):
            continue
        what = f"which is not measured here. {advice(number, known)}".rstrip()
        if close and number not in known:
            what = f"which there is not. Did you mean '{name}_{close}'?"
        if number in known:
            what = f"which the monitor does not write. Ask for it: `logs=[{number!r}, ...]`."
        raise ValueError(
            f"`{type(callback).__name__}` reads {key!r}, {what} Received: `logs` with "
            f"{list(written)}."
        )
    _warn_of_other_prefixes(monitor, name, callbacks, known)


def _nobody_else_writes(key: str, monitor: Any, callbacks: Sequence[Any]) -> bool:
    """Whether a key is known to be in no `logs`: they are Keras's own, and what monitors write."""
    model = monitor.model
    metrics = getattr(model, "_compile_metrics", None)
    return (
        bool(callbacks)
        and type(model).train_step is keras.Model.train_step
        and (metrics is None or metrics.built)
        # Of several outputs Keras puts the name before that of the metric.
        and not any(key == metric or key.endswith(f"_{metric}") for metric in _metrics(model))
        and not any(_may_write(callback, monitor) for callback in callbacks)
    )


def _may_write(callback: Any, monitor: Any) -> bool:
    """Whether a callback may put numbers of its own into `logs`."""
    if isinstance(callback, keras.callbacks.LambdaCallback):
        return True
    if isinstance(callback, type(monitor)):
        return callback.name.startswith(f"{monitor.name}_")
    if type(callback).__module__.partition(".")[0] == "keras":
        return False
    bare = keras.callbacks.Callback
    ends = ("on_epoch_end", "on_train_batch_end", "on_batch_end")
    return any(getattr(type(callback), end, None) is not getattr(bare, end) for end in ends)


def _metrics(model: Any) -> set[str]:
    return {metric.name for part in model.metrics for metric in _parts(part)}


def _require_mode(callback: Any, key: str) -> None:
    """Keras would say it after the first epoch."""
    waits = getattr(callback, "monitor_op", "known") is None
    if waits and callback.monitor == key and getattr(callback, "mode", None) == "auto":
        kind = type(callback).__name__
        raise ValueError(
            f"`{kind}` must be told whether {key!r} is better when it is small or when it is "
            f"large. Received: mode='auto'. Write `{kind}({key!r}, mode='min')`, or 'max'."
        )


def _warn_of_other_prefixes(
    monitor: Any, name: str, callbacks: Sequence[Any], known: Collection[str]
) -> None:
    """Says what is watched in vain, unless somebody else writes a number of that name."""
    metrics = _metrics(monitor.model)
    monitors = [each.name for each in callbacks if isinstance(each, type(monitor))]
    for callback, key in _watched(callbacks):
        number = key.removeprefix("val_")
        for prefix in ("curvature", name):
            number = number.removeprefix(f"{prefix}_").removeprefix(f"{prefix}/")
        others = any(key.startswith(f"{other}_") for other in monitors)
        if number in known and key not in metrics and not others:
            kind = type(callback).__name__
            warnings.warn(
                f"`{kind}` reads {key!r}, and in `logs` the monitor's number is called "
                f"'{name}_{number}'. Unless a metric of the model is called {key!r}, write "
                f"`{kind}('{name}_{number}', ...)`.",
                stacklevel=2,
            )


def _parts(metric: Any) -> Sequence[Any]:
    return getattr(metric, "metrics", None) or [metric]


def callbacks_around(monitor: keras.callbacks.Callback) -> list[Any]:
    """Those of the list that is calling a callback, as far as that is known."""
    frame = inspect.currentframe()
    for _ in range(FRAMES):
        frame = None if frame is None else frame.f_back
        caller = None if frame is None else frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and monitor in caller.callbacks:
            return list(caller.callbacks)
    return []


def _readers(callbacks: Sequence[Any], name: str) -> Iterator[tuple[Any, str, str]]:
    """Each callback, a key of this prefix that it says it reads in `logs`, and that without it."""
    for callback, key in _watched(callbacks):
        if key.startswith(f"{name}_"):
            yield callback, key, key.removeprefix(f"{name}_")


def _watched(callbacks: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    """Each callback, and a key that it says it reads in `logs`."""
    for callback in callbacks:
        path = str(getattr(callback, "filepath", ""))
        in_path = [part.partition("}")[0].partition(":")[0] for part in path.split("{")[1:]]
        watched = getattr(callback, "monitor", None)
        for key in [*([watched] if isinstance(watched, str) else []), *in_path]:
            yield callback, key
