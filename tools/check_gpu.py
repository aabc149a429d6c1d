"""Runs what only a GPU can tell, in at most eight minutes: make check-gpu.

Tests of recurrent layers, convolutions, mixed precision, training that Keras compiles for XLA by
itself, and memory; then the first table of the benchmark, beside TensorFlow's own tapes. Without
a GPU it says so, and runs on the CPU what runs there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIND = "import tensorflow as tf; print(*(tf.config.experimental.get_device_details(gpu).get(" + (
    "'device_name', gpu.name) for gpu in tf.config.list_physical_devices('GPU')), sep=', ')"
)
MISSING = (
    "No GPU was found, so what follows runs on the CPU and tells little. On a machine with one"
    " TensorFlow needs: pip install 'tensorflow[and-cuda]'."
)
PYTEST = ("pytest", "-q", "-p", "no:xdist")
STEPS: tuple[tuple[int, Sequence[str]], ...] = (
    (200, (*PYTEST, "tests/engines/test_gpu.py", "tests/engines/test_fused_kernels.py")),
    (
        160,
        (
            *PYTEST,
            "tests/engines/test_engines.py",
            "-k",
            "float32-taylor and (LSTM or GRU or Conv)",
        ),
    ),
    (90, ("benchmarks", "--quick", "--only", "laplacian-1x1000.*(TensorFlow|hand)")),
)
"""Modules to run, and the seconds that each may take: with the start half a minute less than
eight minutes, for machines with a GPU are lent for minutes."""


def main() -> None:
    """Runs it, and ends with 1 where something failed."""
    begin = time.monotonic()
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": devices, "TF_CPP_MIN_LOG_LEVEL": "3"}
    found = subprocess.run(
        [sys.executable, "-c", FIND], env=environment, text=True, capture_output=True, check=True
    ).stdout.strip()
    print(f"GPU: {found}" if found else MISSING, flush=True)
    failed = []
    for seconds, module in STEPS:
        # The table's tolerances are those of float32, not of the digits that a GPU takes for it.
        exact = {"NVIDIA_TF32_OVERRIDE": "0"} if "tests/engines/test_engines.py" in module else {}
        failed += run(module, environment | exact, seconds)
    print(f"\n{time.monotonic() - begin:.0f} seconds.", *failed, sep="\n")
    sys.exit(bool(failed))


def run(module: Sequence[str], environment: dict[str, str], seconds: int) -> list[str]:
    """Runs a module of Python; what to say of it if it failed."""
    name = " ".join(module)
    print(f"\n$ python -m {name}", flush=True)
    try:
        command = [sys.executable, "-m", *module]
        done = subprocess.run(command, cwd=ROOT, env=environment, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return [f"Not finished in time: {name}"]
    return [f"Failed: {name}"] if done.returncode else []


if __name__ == "__main__":
    main()
