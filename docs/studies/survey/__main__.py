"""Asks every backend for second derivatives of everything in Keras, and writes the page about it.

    python docs/studies/survey                  # all: docs/second-derivatives.md and .csv
    python docs/studies/survey --backends torch --only layers/Dense points    # prints them

Two processes at once, each of one backend and a part of all that is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from answers import Answer, joined, versions
from page import written_page

HERE = Path(__file__).resolve().parent
PAGE, DATA = (HERE.parents[1] / f"second-derivatives.{suffix}" for suffix in ("md", "csv"))
BACKENDS = ("jax", "tensorflow", "torch")

PARTS = {"tensorflow": 16, "jax": 3, "torch": 3}
"""Runs of neighbours, each a process, one after the other: the longest ones first.

TensorFlow's forward mode makes a function of every operation and compares it with all before it:
attention with other options takes half as long in the process of the first, what is unlike it
longer in a longer one.
"""

QUIET = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "XLA_FLAGS": " ".join(
        [  # thousands of programs, each run once: half the time to compile them
            "--xla_backend_optimization_level=0",
            "--xla_cpu_parallel_codegen_split_count=1",
            "--xla_cpu_use_fusion_emitters=false",
        ]
    ),
}


def surveyed(backend: str, part: int, only: Sequence[str]) -> list[Answer]:
    """Answers of one backend, from a process of its own, which writes them to a file."""
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as file:
        command = [sys.executable, str(HERE / "worker.py"), file.name]
        command += ["--part", str(part), str(PARTS[backend])]
        command += ["--only", *only] if only else []
        environment = {**os.environ, **QUIET, "KERAS_BACKEND": backend}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            last = [*run.stdout.split(), "(nothing)"][-1 if run.stdout else 0]
            raise SystemExit(f"{backend} ended at {last}:\n{run.stderr[-2000:]}")
        return [Answer(backend, **json.loads(line)) for line in file]


def main() -> None:
    """Surveys, and writes or prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--only", nargs="+", default=[], help="ids, or how they start")
    arguments = parser.parse_args()
    asked = [(name, k) for name in PARTS if name in arguments.backends for k in range(PARTS[name])]
    with ThreadPoolExecutor(2) as pool:
        parts = [*pool.map(lambda one: surveyed(*one, arguments.only), asked)]
    answers = [answer for part in parts for answer in part]
    answers.sort(key=lambda one: (BACKENDS.index(one.backend), not one.is_of_layer, one.index))
    rows = joined(answers)
    if arguments.only or len(arguments.backends) < len(BACKENDS):
        for row in rows:
            print(" | ".join(row.cells()))
        return
    lines = ["# " + ", ".join(f"{name} {number}" for name, number in versions().items())]
    lines += [",".join(row.FIELDS) for row in rows[:1]]
    lines += [row.as_csv() for row in rows]
    DATA.write_text("\n".join(lines) + "\n")
    PAGE.write_text(written_page(answers, rows, versions()))


if __name__ == "__main__":
    main()
