"""What the Curvature tab costs: bytes of the log and time for each step.

Within one fit, what is done for the tab alone (its packets are made and written, and its slices are
measured: what a measurement takes more with them than without) against all else that the monitor
does in the same steps, so that both saw the same machine. Bytes are counted in the log, without
pictures and text, which are not written at every step.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event

import keras_curvature as kc
from keras_curvature.summaries.run_writer import RunWriter

WIDTH, DEPTH = 256, 3
TAB, SELDOM = "curvature-tab/steps", ("curvature-picture", "curvature-summary", "curvature-tab")

CASES: dict[str, tuple[tuple[int, ...], int]] = {
    "1 input, 1,000 points": ((1,), 1000),
    "2 inputs, 1,000 points": ((2,), 1000),
    "10 inputs, 256 points": ((10,), 256),
    "64 inputs, 256 points": ((64,), 256),
    "32 x 32 x 3 inputs, 64 points": ((32, 32, 3), 64),
}
"""The shape of an example and how many of them are probed."""


def build(shape: tuple[int, ...]) -> keras.Model:
    keras.utils.set_random_seed(0)
    flat = [keras.layers.Flatten()] if len(shape) > 1 else []
    hidden = [keras.layers.Dense(WIDTH, "tanh") for _ in range(DEPTH)]
    model = keras.Sequential([keras.Input(shape), *flat, *hidden, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


class Timed(kc.CurvatureMonitor):
    """A monitor that notes how long it takes after each epoch, and how long for the tab."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.taken: list[float] = []
        self.tab: list[float] = []
        self.slices: list[float] = []
        self.within = 0.0

    def on_epoch_end(self, epoch, logs=None):
        """Measures, and the measuring."""
        self.within, begin = 0.0, time.perf_counter()
        super().on_epoch_end(epoch, logs)
        self.taken.append(time.perf_counter() - begin)
        self.tab.append(self.within)
        self.slices.append(self.seconds_of(sliced=True) - self.seconds_of(sliced=False))

    def seconds_of(self, *, sliced):
        """What one more measurement takes."""
        begin = time.perf_counter()
        self._training.measurer.measure(sliced=sliced)
        return time.perf_counter() - begin


@contextmanager
def tab_timed(monitor: Timed) -> Iterator[None]:
    """Adds what is done for the tab alone to `callback.within`."""

    def timed(work: Callable) -> Callable:
        def run(*arguments):
            begin = time.perf_counter()
            found = work(*arguments)
            monitor.within += time.perf_counter() - begin
            return found

        return run

    with mock.patch.object(RunWriter, "write_tab", timed(RunWriter.write_tab)):
        yield


def sizes(log_dir: Path) -> tuple[float, float]:
    """Bytes of a step in the log: the tab's, and those of all other numbers and histograms."""
    tab, rest = defaultdict(int), defaultdict(int)
    for path in log_dir.rglob("*.tfevents*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.tag == TAB:
                    tab[event.step] += value.ByteSize()
                elif not value.tag.startswith(SELDOM):
                    rest[event.step] += value.ByteSize()
    del rest[0]  # says once what each number means
    return statistics.median(tab.values()), statistics.median(rest.values())


def measure(shape: tuple[int, ...], points: int, epochs: int) -> str:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(points, *shape)).astype("float32")
    y = np.sin(x.reshape(points, -1)[:, :1])
    with tempfile.TemporaryDirectory() as log_dir:
        monitor = Timed((x, y), log_dir)
        with tab_timed(monitor):
            build(shape).fit(x, y, epochs=epochs, verbose=0, callbacks=[monitor])
        tab, rest = sizes(Path(log_dir))
    # The first epoch compiles, the median leaves out the steps with pictures.
    own, slices, all_ = (
        1e3 * statistics.median(times[1:]) for times in (monitor.tab, monitor.slices, monitor.taken)
    )
    own += max(0.0, slices)
    return (
        f"{tab / 1024:8.1f} KiB   {rest / 1024:8.1f} KiB   {own:6.2f} ms   {all_ - own:6.1f} ms"
        f"   {100 * own / (all_ - own):4.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    arguments = parser.parse_args()
    print(f"{'':30s}   the tab's      all else         tab     without    added")
    for name, (shape, points) in CASES.items():
        if arguments.only in name:
            print(f"{name:30s}{measure(shape, points, arguments.epochs)}", flush=True)


if __name__ == "__main__":
    main()
