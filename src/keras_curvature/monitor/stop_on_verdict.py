"""A callback that acts on a monitor's verdict: stops a training, warns, tells somebody."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_curvature.diagnosis.results import KINDS as FINDINGS
from keras_curvature.engines.backend import writes_logs
from keras_curvature.measurement.closest_name import closest
from keras_curvature.monitor.arguments import require_one_of
from keras_curvature.monitor.callback import CurvatureMonitor
from keras_curvature.monitor.faults import Fault, Tolerance
from keras_curvature.monitor.order import callbacks_around
from keras_curvature.report.data import Report
from keras_curvature.report.shape import BROKEN, broken
from keras_curvature.report.text import plain
from keras_curvature.report.verdict import KINDS as VERDICTS

ACTIONS = {"stop": "stopped the training", "warn": "warns"}
"""What can be done, and how it is told of the callback."""


@dataclass(frozen=True)
class Seen:
    """One of the kinds in a report.

    Attributes:
        report: of the output.
        what: the verdict or the finding, in words.
        sentence: what that means.
    """

    report: Report
    what: str
    sentence: str


class StopOnVerdict(keras.callbacks.Callback):
    """Stops a training, or warns, when the verdict of a `CurvatureMonitor` stays what it is.

    Example:
        >>> import keras, numpy as np, keras_curvature as kc
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> monitor = kc.CurvatureMonitor((x, x**2))
        >>> stop = kc.StopOnVerdict(["still straight", "straight"], patience=3, verbose=0)
        >>> fit = model.fit(x, x**2, epochs=50, verbose=0, callbacks=[monitor, stop])
        >>> len(fit.epoch), stop.stopped_epoch
        (3, 2)
        >>> print(stop.reason[:63])
        Epoch 3: StopOnVerdict stopped the training, since the verdict

    Place it after the monitor. The reason is printed, kept in `reason` and, where the monitor
    writes a log, put beside its texts on TensorBoard as `curvature-summary/decision`. Up to the
    stop the training is what it would be without it, to the last bit. All processes of a
    distributed training decide alike; one of them prints, writes and calls.

    Args:
        kinds: a kind of verdict (`Verdict.kind`), or several, of which any counts:
            `"disconnected"`, `"stopped"`, `"not finite"`, `"one point"`, `"still straight"`,
            `"straight"`, `"linear"`, `"piecewise linear"`, `"partly hidden"`, `"between classes"`,
            `"unresolved"`, `"poor fit"`, `"smooth"`; `"shape broken"`, while some of the monitor's
            `shape` does not hold at all points; or of a finding that only
            `keras_curvature.diagnose` has (`Finding.kind`): `"dead units"`, `"saturated"`,
            `"altered gradient"`, …. With one of these the model is diagnosed at each measured
            epoch, which takes some tenths of a second of a small one.
        patience: epochs for which that must hold, at all of those that are measured, as in Keras's
            `EarlyStopping`; at least the monitor's `freq`. What holds before training counts for
            none.
        action: `"stop"`, or `"warn"`: a Python warning, and the training goes on. It warns once,
            and again after the verdict has been another.
        notify: a function that is called when this acts, with the report as plain data
            (`Report.to_dict`) and one more key, `"decision"`: a dict of `action`, `what` (the
            verdict or finding), `epochs` and `reason`. For a webhook or a logger. Where it raises,
            that is a warning, once, and is kept in `faults`; the rest happens all the same.
        monitor: which monitor, or its `name`, where there are several.
        output: of a model of several outputs, the name of one. Default: any of them.
        verbose: 0 to print nothing; 1 for a line.

    Attributes:
        stopped_epoch: of Keras's count from 0, where it stopped; 0 if it did not.
        reason: why it acted the last time, in words; empty if it did not.
        faults: what `notify` has raised, one entry per kind.

    Raises:
        ValueError: for a kind that there is not, a `patience` below 1; and, before the first
            batch, for a monitor that is missing, comes after this or is one of several, a
            `patience` below its `freq`, an output that there is not, and a finding of a model too
            large to be diagnosed in a training.
        TypeError: for an argument of a wrong type.
    """

    def __init__(
        self,
        kinds: str | Sequence[str],
        patience: int = 5,
        *,
        action: str = "stop",
        notify: Callable[[dict[str, Any]], Any] | None = None,
        monitor: CurvatureMonitor | str | None = None,
        output: str | None = None,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        self.kinds = _checked_kinds(kinds)
        self.patience = _checked_patience(patience)
        require_one_of("action", action, tuple(ACTIONS))
        if not (notify is None or callable(notify)):
            raise TypeError(
                "`notify` must be a function of one argument, the report as a dict. Received: "
                f"{notify!r}."
            )
        if not isinstance(monitor, CurvatureMonitor | str | None):
            raise TypeError(
                f"`monitor` must be a `CurvatureMonitor` or the name of one. Received: {monitor!r}."
            )
        if not isinstance(output, str | None):
            raise TypeError(f"`output` must be the name of an output. Received: {output!r}.")
        self.action, self.notify, self.verbose = action, notify, verbose
        self.output = output
        self._asked = monitor
        self._diagnoses = any(kind not in (*VERDICTS, BROKEN) for kind in self.kinds)
        self._tolerance = Tolerance(True, "StopOnVerdict")
        self._watched: CurvatureMonitor | None = None
        self.stopped_epoch, self.reason = 0, ""
        self._last = self._first = -1
        self._without: dict[str, int] = {}
        self._acted: set[str] = set()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What `notify` has raised, one entry per kind."""
        return self._tolerance.faults

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Finds the monitor."""
        self.stopped_epoch, self.reason = 0, ""
        self._begin()
        self._watched = self._monitor()
        freq = self._watched.freq
        if isinstance(freq, int) and freq > self.patience:
            raise ValueError(
                f"`patience` counts epochs and must be at least {freq}, the `freq` of the monitor, "
                f"which measures each {freq}th only. Received: patience={self.patience}."
            )
        if BROKEN in self.kinds and not self._watched.has_shape:
            raise ValueError(
                f"`kinds` may have {BROKEN!r} only where the monitor is asked for a shape, "
                "`CurvatureMonitor(..., shape={'strike': 'convex'})`. Received: a monitor without."
            )
        if self._diagnoses and not self._watched.diagnosable:
            raise ValueError(
                f"`kinds` must be among {list(VERDICTS)}: this model is too large to be diagnosed "
                f"in every epoch. Received: {list(self.kinds)}."
            )

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Counts from the beginning of the training on."""
        monitor = self._now
        if self._last < 0:
            self._begin(monitor.history["step"][-1] if monitor.history["step"] else 0)
        outputs = list(monitor.reports)
        if outputs and self.output is not None and self.output not in outputs:
            expected = "left out: the model has one" if outputs == [""] else f"one of {outputs}"
            raise ValueError(f"`output` must be {expected}. Received: {self.output!r}.")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Looks at what the monitor has measured in this epoch, and acts."""
        step = self._now.history["step"][-1]
        if step == self._last:
            return  # `freq` has left this epoch out
        self._last = step
        seen = self._seen(step)
        if seen is None:
            return  # it could not be measured
        for name, found in seen.items():
            if found is None:
                self._without[name] = step
                self._acted.discard(name)
        due = [found for name, found in seen.items() if found and self._is_due(name, step)]
        self._acted |= {found.report.output for found in due}
        if due:
            self._act(epoch, step, due[0])

    def _begin(self, step: int = -1) -> None:
        """Forgets what was, at the step with which a training begins."""
        self._last = self._first = step
        self._without, self._acted = {}, set()

    @property
    def _now(self) -> CurvatureMonitor:
        assert self._watched is not None, "an epoch before `on_train_begin`"
        return self._watched

    def _is_due(self, output: str, step: int) -> bool:
        since = self._without.get(output, self._first)
        return output not in self._acted and step - since >= self.patience

    def _seen(self, step: int) -> dict[str, Seen | None] | None:
        """By the name of each output what was seen of the kinds; `None` if nothing was measured."""
        reports = [report for report in self._now.reports.values() if report.step == step]
        reports = [report for report in reports if self.output in (None, report.output)]
        if not reports:
            return None
        found = {report.output: self._in_verdict(report) for report in reports}
        if not self._diagnoses or any(found.values()):
            return found
        diagnosis = self._now.diagnose()
        if diagnosis is None:
            return None
        finding = next((one for one in diagnosis.findings if one.kind in self.kinds), None)
        if finding is None:
            return found
        # A diagnosis is of all outputs together.
        what, said = f"the finding of a diagnosis {finding.kind!r}", f"{finding.found} "
        seen = Seen(reports[0], what, f"{said}{finding.advice}")
        return found | {reports[0].output: seen}

    def _in_verdict(self, report: Report) -> Seen | None:
        violated = broken(report.shape) if BROKEN in self.kinds else ""
        if violated:
            return Seen(report, f"{BROKEN!r}", violated)
        if report.verdict.kind not in self.kinds:
            return None
        of = f" of {plain(report.output, 40)!r}" if report.output else ""
        return Seen(report, f"the verdict{of} {report.verdict.kind!r}", report.verdict.sentence)

    def _act(self, epoch: int, step: int, seen: Seen) -> None:
        epochs = step - self._without.get(seen.report.output, self._first)
        self.reason = (
            f"Epoch {epoch + 1}: StopOnVerdict {ACTIONS[self.action]}, since {seen.what} has held "
            f"for {epochs} epoch{'s' * (epochs > 1)}. {plain(seen.sentence)}"
        )
        if self.action == "stop":
            self.model.stop_training = True
            self.stopped_epoch = epoch
        if self.action == "warn":
            warnings.warn(self.reason, stacklevel=2)
        if not writes_logs(self.model):
            return
        if self.verbose and self.action == "stop":
            print(f"\n{self.reason}")
        self._now.note_decision(step, self.reason)
        if self.notify is not None:
            decision = {
                "action": self.action,
                "what": seen.what,
                "epochs": epochs,
                "reason": self.reason,
            }
            notify, data = self.notify, seen.report.to_dict() | {"decision": decision}
            self._tolerance.attempt(step, "call `notify`", lambda: notify(data))

    def _monitor(self) -> CurvatureMonitor:
        """The monitor that was asked for, which comes before this in the list of callbacks."""
        every = callbacks_around(self)
        monitors = [one for one in every if isinstance(one, CurvatureMonitor)]
        asked = self._asked
        if isinstance(asked, CurvatureMonitor):
            chosen = [asked] if asked in monitors or not every else []
        else:
            chosen = [one for one in monitors if asked in (None, one.name)]
        names = [one.name for one in monitors]
        if not chosen:
            wanted = getattr(asked, "name", asked)
            which = "" if wanted is None else f" called {wanted!r}"
            raise ValueError(
                f"`StopOnVerdict` reads the verdict of a `CurvatureMonitor`{which}, which must be "
                "among the callbacks, before it: `callbacks=[monitor, stop]`. In a loop of your "
                "own give it as `monitor=`. Received: "
                f"{f'monitors called {names}' if names else 'no monitor'}."
            )
        if len(chosen) > 1:
            raise ValueError(
                f"`StopOnVerdict` must be told which monitor it reads: `monitor=` one of {names}. "
                "Received: monitor=None."
            )
        if every and every.index(chosen[0]) > every.index(self):
            raise ValueError(
                "`StopOnVerdict` must come after the monitor that it reads. Received: `callbacks=` "
                "with it before. Put the monitor first: `callbacks=[monitor, stop]`."
            )
        return chosen[0]


def _checked_kinds(kinds: Any) -> tuple[str, ...]:
    given = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(given, list | tuple | set | frozenset) or not given:
        raise TypeError(
            "`kinds` must be a kind of verdict, such as 'still straight', or a list of some. "
            f"Received: {kinds!r}."
        )
    known = dict.fromkeys((*VERDICTS, BROKEN, *FINDINGS))
    for kind in given:
        if isinstance(kind, str) and kind in known:
            continue
        close = closest(kind, known) if isinstance(kind, str) else None
        meant = f"Did you mean {close!r}? " if close else ""
        raise ValueError(
            f"`kinds` must be kinds of verdicts, {list(VERDICTS)}, {BROKEN!r}, or of findings, "
            f"{[one for one in FINDINGS if one not in VERDICTS]}. {meant}Received: {kind!r}."
        )
    return tuple(given)


def _checked_patience(patience: Any) -> int:
    expected = "`patience` must be a whole number of epochs, at least 1."
    if isinstance(patience, bool) or not isinstance(patience, int):
        raise TypeError(f"{expected} Received: {patience!r}.")
    if patience < 1:
        raise ValueError(f"{expected} Received: {patience}.")
    return patience
