"""The wheel and the sdist: built, complete, installed into a clean environment, and working."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"

SMOKE = """
import sys
from importlib.metadata import distribution
import keras, numpy as np
import keras_curvature as kc

assert kc.__file__.startswith(sys.prefix), kc.__file__
for entry in distribution("keras-curvature").entry_points:
    entry.load()
from keras_curvature_page.script import static_files
assert {"/static/index.js", "/static/uplot/LICENSE"} <= set(static_files())
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
x = np.random.default_rng(0).normal(size=(16, 2))
assert kc.verify(model, x).ok
monitor = kc.CurvatureMonitor(x, "logs")
model.compile("sgd", "mse")
model.fit(x, x[:, :1], epochs=1, verbose=0, callbacks=[monitor])
assert monitor.history["step"] == [0, 1]
monitor.plot().savefig("shape.png")
model.save("model.keras")
np.save("x.npy", x)
print("works", kc.__version__)
"""


def shipped():
    """Every file below src/ that is not made by running it."""
    return {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The paths of wheel and sdist."""
    pytest.importorskip("hatchling")
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(directory)], cwd=ROOT, check=True
    )
    (wheel,), (sdist,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_the_wheel_holds_all_of_src_and_nothing_else(built):
    names = set(zipfile.ZipFile(built[0]).namelist())
    assert {name for name in names if ".dist-info/" not in name} == shipped()
    for licence in ("LICENSE", "src/keras_curvature_page/static/uplot/LICENSE"):
        assert any(name.endswith(f"licenses/{licence}") for name in names), licence
    assert {name.partition("/")[0] for name in shipped()} >= {
        "keras_curvature",
        "keras_curvature_cli",
        "keras_curvature_page",
        "keras_curvature_tensorboard",
    }


@pytest.mark.slow
def test_the_sdist_holds_what_it_takes_to_build_and_test(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in shipped()} <= names
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "tests/support/truth.py",
    } <= names
    assert not any(name.startswith((".ci", ".venv")) for name in names)


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment(built, tmp_path):
    """The packages that it needs are those of this environment, this library's source is not."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(built[0])],
        check=True,
    )
    site = next((home / "lib").glob("python*/site-packages"))
    # A plain path: the .pth files there, with the editable install, are not followed.
    (site / "packages.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    clean = {"PATH": f"{home / 'bin'}:/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": "/tmp"}

    def run(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=clean, text=True, capture_output=True, check=False
        )

    done = run(str(python), "-c", SMOKE)
    assert done.returncode == 0, done.stderr[-2000:]
    version = built[0].name.split("-")[1]
    assert done.stdout.split()[-2:] == ["works", version]
    command = str(home / "bin" / "keras-curvature")
    assert run(command, "--version").stdout.strip() == version
    done = run(command, "verify", "model.keras", "x.npy")
    assert done.returncode == 0, done.stderr
    assert "right for this model, as far as differences can tell" in done.stdout
