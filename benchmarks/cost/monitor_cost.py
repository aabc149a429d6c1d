"""What the monitor adds to an epoch: 256 probe points, 10 inputs, 3 x 256 units.

Within one fit of 10,000 rows, the time inside the monitor's callbacks against the rest of the
same epoch, so that both saw the same machine. Beside it the epochs of a fit without monitor,
to see that nothing is hidden outside the callbacks. `--cpu` counts CPU seconds, which other
processes on the machine change less. `--parts` says where it goes: after each epoch each part of a
measurement is taken by itself too, which takes more than all of them in one call.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from unittest import mock

import keras
import numpy as np

import keras_curvature as kc
from keras_curvature.measurement import one_call
from keras_curvature.monitor.training import Training

ROWS, INPUTS, PROBE_POINTS, WIDTH, DEPTH = 10_000, 10, 256, 256, 3


def build(activation: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(WIDTH, activation=activation) for _ in range(DEPTH)]
    model = keras.Sequential([keras.Input((INPUTS,)), *hidden, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, callbacks before this one in the list included."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.epochs: list[float] = []
        self._clock, self._begin = clock, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._begin = self._clock()

    def on_epoch_end(self, epoch, logs=None):
        """Stops it."""
        self.epochs.append(self._clock() - self._begin)


class Timed(kc.CurvatureMonitor):
    """A monitor that notes all the time it takes, its writing and drawing included."""

    taken: list[float]
    clock: Callable[[], float]

    def on_epoch_end(self, epoch, logs=None):
        """Measures, and the measuring."""
        begin = self.clock()
        super().on_epoch_end(epoch, logs)
        self.taken.append(self.clock() - begin)

    def on_epoch_begin(self, epoch, logs=None):
        """The first one measures the untrained model, and compiles."""
        begin = self.clock()
        super().on_epoch_begin(epoch, logs)
        if epoch == 0:
            self.taken = [self.clock() - begin]


def fit(
    activation: str, epochs: int, log_dir: str | None, seconds: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Seconds of each epoch, and of the monitor before the first and after each of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS)).astype("float32")
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    model, clock = build(activation), Clock(seconds)
    watching = [] if log_dir is None else [Timed(x[:PROBE_POINTS], log_dir)]
    for monitor in watching:
        monitor.clock = seconds
    # The clock is stopped after the monitor at the end, and started after it at the begin.
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[*watching, clock])
    return clock.epochs, watching[0].taken if watching else []


PARTS = {
    "points": "value, slope and Hessian at the points",
    "lines": "lines between points",
    "scale": "windows of the scale",
    "distances": "many distances, in float64",
    "sliced_": "slices for the tab",
}


class Apart(kc.CurvatureMonitor):
    """A monitor that notes what each part of its work takes, each by itself after an epoch."""

    clock: Callable[[], float]

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.seconds: dict[str, list[float]] = {}

    def timed(self, name, work):
        """`work()`, and what it takes."""
        begin = self.clock()
        found = work()
        self.seconds.setdefault(name, []).append(self.clock() - begin)
        return found

    def on_epoch_end(self, epoch, logs=None):
        """Measures, with a look at the parts."""
        measurer, run_all = self._training.measurer, self._training.measurer._run_all
        tasks = {}

        def noting(given):
            tasks.update(given)
            return self.timed("all of these in one call, or two", lambda: run_all(given))

        measurer._run_all = noting
        super().on_epoch_end(epoch, logs)
        measurer._run_all = run_all
        for name, task in tasks.items():
            self.timed(PARTS.get(name, name), lambda task=task: one_call.run(task))


def parts(activation: str, epochs: int, seconds: Callable[[], float]) -> None:
    """Prints what each part takes, and its share of an epoch."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS)).astype("float32")
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    with tempfile.TemporaryDirectory() as log_dir:
        monitor, clock = Apart((x[:PROBE_POINTS], y[:PROBE_POINTS]), log_dir), Clock(seconds)
        monitor.clock = seconds
        measure, write = Training.measure, Training.write
        with (
            mock.patch.object(
                Training,
                "measure",
                lambda *a: monitor.timed("measured and told", lambda: measure(*a)),
            ),
            mock.patch.object(
                Training, "write", lambda *a: monitor.timed("written", lambda: write(*a))
            ),
        ):
            build(activation).fit(x, y, epochs=epochs, verbose=0, callbacks=[clock, monitor])
    epoch = statistics.median(clock.epochs[1:])
    print(f"{'an epoch':42s} {1e3 * epoch:7.1f} ms")
    for name, taken in monitor.seconds.items():
        # The first epoch compiles.
        part = statistics.median(taken[1:])
        print(f"{name:42s} {1e3 * part:7.1f} ms {100 * part / epoch:6.2f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--activation", default="tanh")
    parser.add_argument("--cpu", action="store_true", help="count CPU seconds")
    parser.add_argument("--parts", action="store_true", help="say where it goes")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu else time.perf_counter
    if arguments.parts:
        parts(arguments.activation, arguments.epochs, clock)
        return
    print("run   epoch alone   rest of a watched one   monitor   added   monitor's first")
    shares, usual = [], []
    for run in range(arguments.repeats):
        bare, _ = fit(arguments.activation, arguments.epochs, None, clock)
        with tempfile.TemporaryDirectory() as log_dir:
            watched, taken = fit(arguments.activation, arguments.epochs, log_dir, clock)
        first, *later = taken
        rest = [epoch - own for epoch, own in zip(watched, later, strict=True)][1:]
        shares.append(sum(later[1:]) / sum(rest))
        usual.append(statistics.median(later[1:]) / statistics.median(rest))
        print(
            f"{run:3d}   {statistics.median(bare[1:]):9.3f} s"
            f"   {statistics.median(rest):19.3f} s   {1e3 * statistics.mean(later[1:]):4.0f} ms"
            f"   {100 * shares[-1]:4.1f} %   {first:.2f} s",
            flush=True,
        )
    print(f"median added: {100 * statistics.median(shares):.1f} % of an epoch after the first")
    print(f"without pictures, the usual epoch: {100 * statistics.median(usual):.1f} %")


if __name__ == "__main__":
    main()
