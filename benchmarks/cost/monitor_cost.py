"""What the monitor adds to an epoch: 256 probe points, 10 inputs, 3 x 256 units.

Within one fit of 10,000 rows, the time inside the monitor's callbacks against the rest of the
same epoch, so that both saw the same machine. Beside it the epochs of a fit without monitor,
to see that nothing is hidden outside the callbacks. `--cpu` counts CPU seconds, which other
processes on the machine change less.
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

import keras
import numpy as np

import keras_curvature as kc

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--activation", default="tanh")
    parser.add_argument("--cpu", action="store_true", help="count CPU seconds")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu else time.perf_counter
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
