"""What a log adds to short trials of one architecture, as in a search: `make bench-trials`.

Each trial makes a model and trains it for three epochs, once alone and once watched with a log, in
turns in one process, so that both see the same machine. The first watched trial loads what draws
and writes, and compiles; the others find that done. Writes nothing but its own temporary logs.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_curvature as kc

ROWS, INPUTS, PROBE_POINTS, EPOCHS = 8192, 4, 256, 3


def resident() -> int:
    """Resident set of this process in bytes; Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def trial(seed, log_dir=None, clock=time.perf_counter):
    """Makes a model and trains it; the seconds of `fit`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS)).astype("float32")
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(64, "silu") for _ in range(2)]
    model = keras.Sequential([keras.Input((INPUTS,)), *hidden, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    probe = (x[:PROBE_POINTS], y[:PROBE_POINTS])
    watching = [] if log_dir is None else [kc.CurvatureMonitor(probe, log_dir)]
    begin = clock()
    model.fit(x, y, epochs=EPOCHS, verbose=0, callbacks=watching)
    return clock() - begin


def growth(trials, logs=None):
    """Bytes by which the resident set grows with each of some trials in a row."""
    gc.collect()
    before = resident()
    for i in range(trials):
        trial(i, None if logs is None else logs / f"again-{i}")
        gc.collect()
    return (resident() - before) / trials


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="count CPU seconds")
    given = parser.parse_args(arguments)
    clock = time.process_time if given.cpu else time.perf_counter
    trial(0)  # Keras's own first time
    pairs = []
    with tempfile.TemporaryDirectory() as name:
        logs = Path(name)
        print("trial    alone   watched   times")
        for i in range(given.trials):
            alone, watched = trial(i, None, clock), trial(i, logs / str(i), clock)
            pairs.append((alone, watched))
            print(
                f"{i + 1:5d}   {alone:4.2f} s   {watched:5.2f} s   {watched / alone:5.2f}",
                flush=True,
            )
        more = growth(given.trials, logs) - growth(given.trials)
    (alone, watched), *later = pairs
    print(f"the first: {watched - alone:.2f} s more")
    if later:
        print(f"the others: {statistics.median(w / a for a, w in later):.2f} times")
    print(f"memory: {more / 1e6:.1f} MB more with each")


if __name__ == "__main__":
    sys.exit(main())
