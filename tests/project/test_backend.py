"""What is said where Keras runs on a backend that this library does not know, or has not."""

import os
import subprocess
import sys

import numpy as np
import pytest

SAID = "keras_curvature needs Keras's backend 'tensorflow', 'jax' or 'torch'. Received: {!r}."
IMPORT = [sys.executable, "-c", "import keras_curvature"]


def said(command, **environment):
    """The last line of what a process that fails prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


def test_the_import_names_the_backend():
    """Whether it is installed or not."""
    line = said(IMPORT, KERAS_BACKEND="numpy")
    assert line.startswith("ImportError: " + SAID.format("numpy"))
    assert "KERAS_BACKEND=tensorflow" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "backend", "install"),
    [
        ("jax", "jax", "'keras-curvature[jax]'"),
        ("torch", "torch", "'keras-curvature[torch]'"),
        ("", "tensorflow", "tensorflow"),
    ],
    ids=["JAX", "PyTorch", "by default"],
)
def test_a_backend_that_is_not_installed_is_named(tmp_path, chosen, backend, install):
    missing = f"raise ModuleNotFoundError('Not here', name={backend!r})"
    (tmp_path / f"{backend}.py").write_text(missing)
    environment = {
        "KERAS_BACKEND": chosen,
        "KERAS_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    line = said(IMPORT, **environment)
    assert f"backend {backend!r} was chosen and is not installed" in line
    assert f"pip install {install}; or choose another with" in line


@pytest.mark.slow
def test_keras_may_have_been_imported_before():
    """Then the environment variable comes too late; a backend that is not installed is feigned."""
    before = "import keras; keras.config.backend = lambda: 'numpy'; import keras_curvature"
    line = said([sys.executable, "-c", before], KERAS_BACKEND="tensorflow")
    assert line.startswith("ImportError: " + SAID.format("numpy"))


@pytest.mark.slow
def test_the_configuration_file_counts(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "numpy"}')
    environment = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": ""}
    assert SAID.format("numpy") in said(IMPORT, **environment)


@pytest.mark.slow
def test_the_command_line_says_it(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"")
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    command = [sys.executable, "-m", "keras_curvature_cli", "verify"]
    line = said([*command, tmp_path / "model.keras", tmp_path / "x.npy"], KERAS_BACKEND="numpy")
    assert line.startswith("Error: ")
    assert SAID.format("numpy") in line
