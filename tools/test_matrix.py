"""Runs the tests on the oldest and the newest versions that are supported: make test-matrix.

    python tools/test_matrix.py [--only NAME] [--short] [-- PYTEST ARGUMENTS]

Each row gets an environment of its own in .venv-matrix/, with the versions that pyproject.toml
allows: the oldest that it names, or the newest that there are. Without arguments for pytest all
tests that are not slow are run, with `--short` those of them that are in `SHORT`. At the end a
table in Markdown says what was run, for README.md.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".venv-matrix"
SHOWN = ("tensorflow", "keras", "numpy")
SHORT = (
    "tests/monitor/test_monitor.py",
    "tests/functions/test_derivatives.py",
    "tests/project/test_imports.py",
    "tests/project/test_public_types.py",
    "tests/cli",
    "tests/diagnosis",
    "tests/layers",
)
"""Where what Keras, TensorFlow or Python changed between versions shows first."""


@dataclass(frozen=True)
class Row:
    """What is installed together.

    Attributes:
        name: of the row.
        python: its version.
        resolution: of the packages, as uv calls it.
    """

    name: str
    python: str
    resolution: str

    @property
    def environment(self) -> Path:
        """Where it is installed."""
        return ENVIRONMENTS / self.name

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.environment / "bin" / "python"


ROWS = (
    Row("oldest", "3.10", "lowest-direct"),
    Row("newest", "3.13", "highest"),
)


def main() -> int:
    """Runs the rows; 1 if a test failed in one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[row.name for row in ROWS], help="one row")
    parser.add_argument("--short", action="store_true", help="fewer tests: those of SHORT")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest")
    given = parser.parse_args()
    arguments = given.pytest or ["-m", "not slow", *(SHORT if given.short else ())]
    lines, failed = [], False
    for row in ROWS:
        if given.only not in (None, row.name):
            continue
        _install(row)
        counts, code = _tested(row, arguments)
        failed |= code != 0
        cells = (row.name, row.python, *_versions(row), counts)
        lines.append("| " + " | ".join(cells) + " |")
    print("\n| | Python | TensorFlow | Keras | NumPy | tests |\n|---|---|---|---|---|---|")
    print("\n".join(lines))
    return int(failed)


def _install(row: Row) -> None:
    if row.interpreter.exists():
        print(f"{row.environment} is there already; delete it to install anew")
        return
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        sys.exit("uv is missing: pip install uv")
    subprocess.run([uv, "venv", "--python", _python(row.python), row.environment], check=True)
    subprocess.run(
        [uv, "pip", "install", "--python", row.interpreter, "--resolution", row.resolution,
         "--editable", ".[test]"],
        cwd=ROOT,
        check=True,
    )  # fmt: skip


def _python(version: str) -> str:
    """An interpreter that is here, or the version, for uv to download one."""
    for candidate in _candidates(version):
        done = subprocess.run([candidate, "--version"], capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
    return version


def _candidates(version: str) -> Iterator[str]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True):
        yield str(path)


def _tested(row: Row, arguments: Sequence[str]) -> tuple[str, int]:
    """How many tests passed and failed, and pytest's exit code."""
    command = [str(row.interpreter), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None, "asked for"
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line if re.search(r"\d+ (passed|failed|error)", line) else last
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)\b", last)
    return ", ".join(counts) or "none", process.wait()


def _versions(row: Row) -> list[str]:
    code = f"from importlib.metadata import version as v; print(*map(v, {SHOWN}))"
    done = subprocess.run(
        [row.interpreter, "-c", code], check=True, text=True, stdout=subprocess.PIPE
    )
    return done.stdout.split()


if __name__ == "__main__":
    sys.exit(main())
