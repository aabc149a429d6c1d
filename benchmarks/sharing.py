"""What could be saved at most if two replicas shared out a monitor's probe: half of it each.

The network and the probe of `monitor_cost.py`, 256 points, against the same with 128 points, in
turns, beside an epoch of the training on the same machine. docs/distributed.md says what follows.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import statistics
import sys
import time

import keras
import numpy as np

from keras_curvature.engines.evaluation import Options
from keras_curvature.measuring import Gauge
from keras_curvature.probes import make_probe

ROWS, INPUTS, POINTS, WIDTH, REPEATS = 10_000, 10, 256, 256, 15


def timed(act):
    """Seconds of one call."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def main():
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(WIDTH, "tanh") for _ in range(3)]
    model = keras.Sequential([keras.Input((INPUTS,)), *hidden, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(ROWS, INPUTS)).astype("float32")
    y = x[:, :1]
    whole, half = (
        Gauge(model, make_probe(x[:count]), options=Options()) for count in (POINTS, POINTS // 2)
    )
    acts = {
        "epoch": lambda: model.fit(x, y, verbose=0),
        "whole": whole.measure,
        "half": half.measure,
    }
    seconds = {name: [timed(act) for _ in range(3)][3:] for name, act in acts.items()}  # traced
    for _ in range(REPEATS):
        for name, act in acts.items():
            seconds[name].append(timed(act))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print("| | ms, median | least | most |")
    print("|---|---|---|---|")
    for name, values in seconds.items():
        milliseconds = [1e3 * value for value in (median[name], min(values), max(values))]
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in milliseconds) + " |")
    saved = median["whole"] - median["half"]
    print(f"saved at most: {1e3 * saved:.1f} ms, {saved / median['epoch']:.1%} of an epoch")


if __name__ == "__main__":
    sys.exit(main())
