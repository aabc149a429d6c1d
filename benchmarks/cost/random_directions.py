"""What a training step costs whose Laplacian is estimated from random directions.

A physics-informed network of the Poisson equation. In 1,000 inputs against the exact Laplacian,
step by step in turns in one process, behind a first layer of 1,000 units and of 128. Up to 100,000
inputs by itself: the peak memory of a fresh process, as a peak cannot be taken back, TensorFlow
among it, and the seconds of a step, neither of which may grow faster than the first layer.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

MEBIBYTE = 2**20
BATCH, DIRECTIONS = 16, 16

BESIDE_EXACT = [(1_000, 1_000), (1_000, 128)]
ALONE = [(1_000, 128), (10_000, 128), (100_000, 128)]
"""Inputs, and units of the first layer."""


def trained(inputs: int, units: int, batch: int, directions: int | None) -> Callable[[], float]:
    """A step of training, which tells its seconds, after the first."""
    import keras
    import numpy as np

    import keras_curvature as kc

    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(n, activation="tanh") for n in (units, 128, 128)]
    last = keras.layers.Dense(1, use_bias=False)  # of which no Laplacian tells
    net = keras.Sequential([keras.Input((inputs,)), *hidden, last])
    layer = kc.DerivativeOutput(
        net, ["laplacian"], directions=directions, halves=directions is not None
    )
    x = keras.Input((inputs,))
    model = keras.Model(x, layer(x))
    loss = "mse" if directions is None else kc.losses.UnbiasedSquare()
    model.compile(keras.optimizers.SGD(1e-6), {"laplacian": loss})
    x = np.random.default_rng(0).normal(size=(batch, inputs)).astype("float32")
    y = {"laplacian": np.ones((batch, 1), "float32")}

    def step() -> float:
        begin = time.perf_counter()
        model.train_on_batch(x, y)
        return time.perf_counter() - begin

    step()
    return step


def measure(inputs: int, units: int, batch: int, beside: bool, steps: int) -> dict[str, float]:
    """Runs in the fresh process: the least of so many steps, as others share the machine."""
    estimated = trained(inputs, units, batch, DIRECTIONS)
    exact = trained(inputs, units, batch, None) if beside else lambda: 0.0
    seconds = [(estimated(), exact()) for _ in range(steps)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    least = [min(times) for times in zip(*seconds, strict=True)]
    return {"peak": peak, "estimated": least[0], "exact": least[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--one", nargs=3, type=int, help="internal: inputs, units, with exact")
    arguments = parser.parse_args()
    if arguments.one:
        inputs, units, beside = arguments.one
        print(json.dumps(measure(inputs, units, arguments.batch, bool(beside), arguments.steps)))
        return
    backend = os.environ["KERAS_BACKEND"]
    print(f"On {backend}, {arguments.batch} examples, {DIRECTIONS} directions.")
    print("inputs   units       exact   estimated   exact/it        peak", flush=True)
    for inputs, units, beside in [(*w, True) for w in BESIDE_EXACT] + [(*w, False) for w in ALONE]:
        given = ["--steps", arguments.steps, "--batch", arguments.batch]
        command = [sys.executable, __file__, *given, "--one", inputs, units, int(beside)]
        done = subprocess.run(
            list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        exact, estimated = found["exact"], found["estimated"]
        against = f"{1e3 * exact:7.1f} ms" if beside else f"{'':10s}"
        times = f"{exact / estimated:8.1f} x" if beside else f"{'':10s}"
        print(
            f"{inputs:6d} {units:7d} {against:>11s} {1e3 * estimated:8.1f} ms {times} "
            f"{found['peak'] / MEBIBYTE:7.0f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
