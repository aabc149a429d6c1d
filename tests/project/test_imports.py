"""What importing the library loads: nothing that is only needed later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_curvature as kc

LATER = ("matplotlib", "keras_curvature.figures", "keras_curvature.summaries.run_writer",
         "typer", "rich", "keras_curvature_page", "keras_curvature_tensorboard",
         "tensorboard.plugins", "scipy", "pandas")  # fmt: skip
"""Needed to draw, to log, on the command line or on TensorBoard's page."""

ASKED = """
import sys
import keras, tensorflow
before = set(sys.modules)
import {module}
new = set(sys.modules) - before
print(*sorted(new))
"""


def newly_imported(module):
    """What `import module` loads where TensorFlow and Keras are there already."""
    source = str(Path(kc.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(module=module)],
        env={**os.environ, "PYTHONPATH": source, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        text=True,
        capture_output=True,
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def loaded():
    return newly_imported("keras_curvature")


@pytest.mark.parametrize("name", LATER)
def test_what_is_needed_later_is_imported_later(name, loaded):
    assert [m for m in loaded if m == name or m.startswith(f"{name}.")] == []


def test_little_comes_besides_the_library_itself(loaded):
    assert "keras_curvature.monitor.callback" in loaded
    others = {m.partition(".")[0] for m in loaded} - {"keras_curvature"}
    # TensorFlow loads itself lazily; the rest is the standard library's.
    assert others - set(sys.stdlib_module_names) - {"tensorflow", "keras"} == set()
