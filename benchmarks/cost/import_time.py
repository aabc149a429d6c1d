"""What importing keras_curvature costs beyond TensorFlow and Keras.

    python benchmarks/cost/import_time.py

Each import is timed in a process of its own in which TensorFlow and Keras are there already; the
goal is below 0.3 s. `tests/project/test_imports.py` tests what is imported, which does not depend
on the machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

REPEATS = 7
GOAL = 0.3

TIMED = """
import time
import keras, tensorflow
begin = time.perf_counter()
import keras_curvature
print(time.perf_counter() - begin)
"""


def main() -> None:
    """Prints the seconds of each import and their median."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    seconds = []
    for _ in range(REPEATS):
        done = subprocess.run(
            [sys.executable, "-c", TIMED],
            env=environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        seconds.append(float(done.stdout.split()[-1]))
        print(f"{seconds[-1]:.3f} s")
    print(f"median {statistics.median(seconds):.3f} s, goal below {GOAL} s")


if __name__ == "__main__":
    main()
