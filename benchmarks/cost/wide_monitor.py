"""What a step of the monitor costs where inputs are many, in forward passes over the probe.

One network in each process: the seconds of a step after the first, against a forward pass of the
same points through the model, by the clock and by the processor time that all threads took, which
other programs disturb less, and the memory that measuring added, tracing included.
`--directions all` takes exact second derivatives along every input, as the monitor does where it
can afford to.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

import keras_curvature as kc


def conv_net() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation="silu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="silu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="silu"),
            layers.Flatten(),
            layers.Dense(64, activation="silu"),
            layers.Dense(10),
        ]
    )


def resnet() -> keras.Model:
    return keras.applications.ResNet50(
        weights=None, input_shape=(224, 224, 3), classifier_activation=None
    )


NETWORKS = {"conv": (conv_net, 64), "resnet50": (resnet, 16)}
"""Networks and their probe points."""


class Memory:
    """The most that the process has held since it was made, in MiB, beyond what it held then."""

    def __init__(self) -> None:
        self._before, self._most, self._over = self._now(), 0, False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def added(self) -> int:
        """Ends the watch."""
        self._over = True
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._over:
            self._most = max(self._most, self._now() - self._before)
            time.sleep(0.005)

    @staticmethod
    def _now() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def measure(name: str, directions: int | str | None, steps: int) -> None:
    keras.utils.set_random_seed(0)
    build, points = NETWORKS[name]
    model = build()
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(points, *model.input_shape[1:])).astype("float32")
    forward = tf.function(lambda x: model(x, training=False), autograph=False)
    forward(x)
    memory = Memory()
    monitor = kc.CurvatureMonitor(x, directions=directions)
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor._step(0)
    forwards, measured = [], []
    for step in range(1, steps + 1):
        forwards.append(timed(lambda: forward(x).numpy()))
        measured.append(timed(lambda step=step: monitor._step(step)))
    one, seconds = np.array(forwards), np.array(measured)
    by_clock, by_processor = np.median(seconds, axis=0) / np.median(one, axis=0)
    print(
        f"{name:9s} {points:3d} points, {np.prod(x.shape[1:]):6d} inputs, "
        f"directions={directions}: {np.median(seconds[:, 0]):7.2f} s a step, forward passes: "
        f"{by_clock:5.1f} by the clock, {by_processor:5.1f} by the processor; "
        f"{memory.added():5d} MiB more",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS)
    parser.add_argument("--directions", default=None)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    given = arguments.directions
    directions = given if given in (None, "all") else int(given)
    if arguments.network:
        measure(arguments.network, directions, arguments.steps)
        return
    for name in NETWORKS:
        command = [sys.executable, __file__, "--network", name, "--steps", str(arguments.steps)]
        subprocess.run(command + ([] if given is None else ["--directions", given]), check=True)


if __name__ == "__main__":
    main()
