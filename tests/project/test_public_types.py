"""That whoever checks their types is told ours: every public name is annotated, and mypy agrees."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import keras_curvature as kc

MODULES = [kc, kc.taylor]


def callables():
    """Public functions, and the public methods of public classes, by name."""
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    if inspect.isfunction(function) and not method.startswith("_"):
                        yield f"{module.__name__}.{name}.{method}", function
                yield f"{module.__name__}.{name}.__init__", value.__init__


def test_the_package_says_that_it_has_types():
    assert (files("keras_curvature") / "py.typed").is_file()


@pytest.mark.parametrize(("name", "function"), list(callables()))
def test_a_public_function_is_annotated(name, function):
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    assert [p.name for p in own if p.annotation is inspect.Parameter.empty] == []
    assert signature.return_annotation is not inspect.Signature.empty, name


CONSUMER = """
from typing import Any, assert_type

import numpy as np

import keras_curvature as kc

x = np.zeros((4, 2))


def square(points: object) -> object:
    return points


report = kc.verify(square, x, seed=1)
assert_type(report, kc.Verification)
assert_type(kc.verify(square, x, claims={"hessian": x, (0, 1): "jax.hessian"}).digits, float | None)
assert_type(report.ok, bool)
assert_type(report.checks, tuple[kc.Check, ...])
assert_type(kc.diagnose(square, x).findings, tuple[kc.Finding, ...])
assert_type(kc.kinks(square, -1.0, 1.0), kc.Kinks)
monitor = kc.CurvatureMonitor((x, x), "logs", freq=2, verify=True)
assert_type(monitor.history, dict[str, list[Any]])
assert_type(monitor.verification, kc.Verification | None)
kc.taylor.register("Mine", kc.taylor.elementwise(lambda x, y: y, lambda x, y: y))
kc.hessian(square, x, wrt="input", columns=["a", 1], output=0, dtype="float64", batch_size=2)
"""

MISUSE = """
import keras_curvature as kc

kc.hessian(abs, [[1.0]], wrt=1.5)  # E: arg-type
kc.laplacian(abs, [[1.0]], direction=3)  # E: call-arg
kc.verify(abs, [[1.0]]).ok = True  # E: misc
kc.CurvatureMonitor([[1.0]], freq=1.5)  # E: arg-type
"""

SETTINGS = """
[mypy]
strict = true
[mypy-tensorflow.*,keras.*,tensorboard.*]
follow_imports = skip
ignore_missing_imports = true
"""


def checked(text, directory):
    """What `mypy --strict` says of a user's file."""
    pytest.importorskip("mypy")
    (directory / "consumer.py").write_text(text)
    (directory / "mypy.ini").write_text(SETTINGS)
    source = str(Path(kc.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--no-incremental", "--no-pretty",
         "--python-version", "3.11", "consumer.py"],
        cwd=directory,
        env={**os.environ, "MYPYPATH": source},
        text=True,
        capture_output=True,
        check=False,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if line.startswith("consumer.py")]


@pytest.mark.slow
def test_strict_mypy_takes_a_right_use(tmp_path):
    assert checked(CONSUMER, tmp_path) == []


@pytest.mark.slow
def test_strict_mypy_finds_each_misuse(tmp_path):
    expected = [
        (number, line.partition("# E: ")[2])
        for number, line in enumerate(MISUSE.splitlines(), 1)
        if "# E: " in line
    ]
    found = [
        (int(line.split(":")[1]), line.rpartition("[")[2].rstrip("]"))
        for line in checked(MISUSE, tmp_path)
        if ": error:" in line
    ]
    assert found == expected
