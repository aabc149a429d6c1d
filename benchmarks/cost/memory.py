"""Peak memory of derivatives, above that of the process before them: is it bounded?

Each measurement runs in a fresh process, since a peak cannot be taken back.
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

MEBIBYTE = 2**20

WORK = [
    # quantity, points, inputs
    ("laplacian", 1_000, 16),
    ("laplacian", 10_000, 16),
    ("laplacian", 100_000, 16),
    ("hessian", 64, 256),
    ("hessian", 256, 256),
    ("hessian", 1_024, 256),
]


def measure(quantity: str, points: int, inputs: int, engine: str) -> dict[str, float]:
    """Runs in the fresh process."""
    import keras
    import numpy as np

    import keras_curvature as kc

    hidden = [keras.layers.Dense(256, activation="tanh") for _ in range(3)]
    model = keras.Sequential([keras.Input((inputs,)), *hidden, keras.layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(points, inputs)).astype("float32")
    model(x[:8])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    begin = time.perf_counter()
    result = getattr(kc, quantity)(model, x, engine=engine).numpy()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"peak": peak - before, "result": result.nbytes, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--one", nargs=3, help="internal: quantity, points, inputs")
    arguments = parser.parse_args()
    if arguments.one:
        quantity, points, inputs = arguments.one
        print(json.dumps(measure(quantity, int(points), int(inputs), arguments.engine)))
        return
    print("quantity    points  inputs   peak above base   of it the result   seconds")
    for work in WORK:
        command = [sys.executable, __file__, "--engine", arguments.engine, "--one", *map(str, work)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{work[0]:10s} {work[1]:7d} {work[2]:7d}   {found['peak'] / MEBIBYTE:11.0f} MiB   "
            f"{found['result'] / MEBIBYTE:12.1f} MiB   {found['seconds']:7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
