"""What a monitor of 2,000 epochs adds to memory and to the disk: `make bench-long`.

Writes nothing but its own temporary log; prints the table of docs/long-runs.md.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_curvature as kc

AT = (1, 10, 100, 500, 1000, 1500, 2000)
"""Epochs at which memory and log are looked at."""

SETTLED = 500
"""The epoch from which memory is compared: the first ones fill TensorFlow's own pools, and
pictures, for which much is loaded, begin after five seconds."""


@dataclass(frozen=True)
class Look:
    """The state after some epochs.

    Attributes:
        epoch: counted from 1.
        memory: resident set, bytes.
        log: size of the run on the disk, bytes.
        traces: how often the monitor has run the model's own code to trace it: once for all
            its numbers, and once to compare them with. What Keras traces
            for the training is not in it.
        functions: compiled functions that the monitor holds.
    """

    epoch: int
    memory: int
    log: int
    traces: int
    functions: int


class Counted(keras.layers.Layer):
    """An identity that counts how often it is called, which is how often it is traced."""

    calls = 0

    def call(self, x):
        """Counts."""
        Counted.calls += 1
        return x


class Watching(kc.CurvatureMonitor):
    """Counts the calls of the model's own code that are its doing."""

    calls = 0

    @contextlib.contextmanager
    def _counting(self):
        before = Counted.calls
        yield
        self.calls += Counted.calls - before

    def on_train_begin(self, logs=None):
        """Counts what preparing takes."""
        with self._counting():
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch, logs=None):
        """Counts what step 0 and the diagnosis take."""
        with self._counting():
            super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        """Counts what every other step takes."""
        with self._counting():
            super().on_epoch_end(epoch, logs)


class Looks(keras.callbacks.Callback):
    """Looks at the process and at the log."""

    def __init__(self, monitor, log_dir, at):
        super().__init__()
        self.looks = []
        self._monitor, self._log_dir, self._at = monitor, Path(log_dir), at

    def on_epoch_end(self, epoch, logs=None):
        """Looks, if it is time."""
        if epoch + 1 not in self._at:
            return
        gc.collect()
        log = sum(f.stat().st_size for f in self._log_dir.rglob("*") if f.is_file())
        functions = len(self._monitor._training.measurer.bound.evaluator.compiled)
        self.looks.append(Look(epoch + 1, resident(), log, self._monitor.calls, functions))


def resident():
    """Resident set of this process in bytes; Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def watch(epochs, inputs=2, at=AT):
    """Trains and looks."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, inputs)).astype("float32")
    y = np.sin(x[:, :1])
    model = keras.Sequential(
        [
            keras.Input((inputs,)),
            Counted(),
            keras.layers.Dense(16, "tanh"),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    with tempfile.TemporaryDirectory() as log_dir:
        monitor = Watching((x, y), log_dir)
        looks = Looks(monitor, log_dir, at)
        model.fit(x, y, epochs=epochs, batch_size=64, verbose=0, callbacks=[monitor, looks])
    return looks.looks, monitor


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--inputs", type=int, default=2)
    given = parser.parse_args(arguments)
    looks, _ = watch(given.epochs, given.inputs)
    settled = next(look.memory for look in looks if look.epoch >= SETTLED)
    columns = ("epoch", "memory, MB", f"since epoch {SETTLED}, MB", "log, kB", "kB per epoch")
    print("|", " | ".join([*columns, "traces", "functions"]), "|")
    print("|---" * 7 + "|")
    for look in looks:
        print(
            f"| {look.epoch} | {look.memory / 1e6:.0f} "
            f"| {(look.memory - settled) / 1e6:.1f} | {look.log / 1e3:.0f} "
            f"| {look.log / 1e3 / look.epoch:.2f} | {look.traces} | {look.functions} |"
        )


if __name__ == "__main__":
    sys.exit(main())
