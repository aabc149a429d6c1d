"""What the monitor adds to an epoch: 256 probe points, 10 inputs, 3 x 256 units.

Two fits of the same network on the same 10,000 rows in turn, epoch by epoch, one with the
monitor and TensorBoard and one without, so that a drift of the machine's speed hits both.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import statistics
import tempfile
import time

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


def one_epoch(model: keras.Model, x: np.ndarray, y: np.ndarray, epoch: int, **kwargs) -> float:
    begin = time.perf_counter()
    model.fit(x, y, epochs=epoch + 1, initial_epoch=epoch, verbose=0, **kwargs)
    return time.perf_counter() - begin


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, callbacks before this one included."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[float] = []
        self._begin = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stops it, after the callbacks before this one."""
        self.epochs.append(time.perf_counter() - self._begin)


def epochs_of(activation: str, epochs: int, log_dir: str | None) -> tuple[list[float], list]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS)).astype("float32")
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    model, clock = build(activation), Clock()
    watched = [] if log_dir is None else [kc.CurvatureMonitor(x[:PROBE_POINTS], log_dir)]
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[*watched, clock])
    return clock.epochs, watched[0].history["seconds"] if watched else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--activation", default="tanh")
    arguments = parser.parse_args()
    print("run  bare epoch  watched epoch  added  monitor's own (first, then)")
    ratios = []
    for run in range(arguments.repeats):
        bare, _ = epochs_of(arguments.activation, arguments.epochs, None)
        with tempfile.TemporaryDirectory() as log_dir:
            watched, own = epochs_of(arguments.activation, arguments.epochs, log_dir)
        plain, with_monitor = statistics.median(bare[1:]), statistics.mean(watched[1:])
        plain_mean = statistics.mean(bare[1:])
        ratios.append(with_monitor / plain_mean - 1)
        print(
            f"{run:3d}  {plain:8.3f} s  {with_monitor:11.3f} s  {100 * ratios[-1]:4.1f} %  "
            f"{own[0]:.2f} s, {1e3 * statistics.median(own[1:]):.0f} ms",
            flush=True,
        )
    print(f"median added: {100 * statistics.median(ratios):.1f} % of an epoch after the first")


if __name__ == "__main__":
    main()
