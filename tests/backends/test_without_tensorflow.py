"""Where TensorFlow is not installed: derivatives, a training, the log and who reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_curvature as kc

NOT_INSTALLED = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: (
    None if name.partition(".")[0] == "tensorflow" else find(name, *more)
)
"""

WORK = """
import keras
import numpy as np
import keras_curvature as kc

x = np.random.default_rng(0).uniform(-1, 1, (16, 2))
cubes = keras.Sequential(
    [keras.Input((2,)), keras.layers.Lambda(lambda x: keras.ops.sum(x**3, axis=1, keepdims=True))]
)
found = kc.derivatives(cubes, x, ["value", "hessian_diagonal", "laplacian"], dtype="float64")
np.savez("found.npz", x=x, **keras.tree.map_structure(keras.ops.convert_to_numpy, found))

net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
inputs = keras.Input((2,))
model = keras.Model(inputs, kc.DerivativeOutput(net, ["value", "laplacian"])(inputs))
model.compile("sgd", {"value": "mse", "laplacian": "mse"})
before = net.get_weights()
model.fit(x, {"value": x[:, :1], "laplacian": x[:, :1]}, batch_size=16, verbose=0)
assert all(np.abs(new - old).max() > 0 for new, old in zip(net.get_weights()[:3], before))
assert len(kc.hparams_metrics()) > 5
"""

WRITE = """
from unittest import mock
from closed_forms import parabola, report
from keras_curvature.summaries.run_writer import RunWriter

writer, measured = RunWriter("logs"), parabola()
with mock.patch("time.time", return_value=1e9):
    for step in range(3):
        shown = report(step=step)
        writer.write_layout(step, {"": shown})
        writer.write_numbers(shown)
        writer.write_distribution(shown, measured)
        writer.write_tab(shown, measured)
        writer.write_picture(shown, bytes([137]) + b"PNG\\r\\n\\x1a\\n" + bytes(2000))
        writer.write_summary(shown)
    writer.close()
kc.to_html("logs", "report.html")
monitor = kc.CurvatureMonitor(np.linspace(0, 1, 8)[:, None])
monitor.measure(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
assert monitor.to_html("monitor.html").stat().st_size > 1e5
assert "tensorflow" not in sys.modules, "Keras's set_random_seed and save load it, nothing here"
"""

READ = """
import json
from pathlib import Path
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from served import ROOT, served

read = EventAccumulator("logs/curvature", size_guidance={"tensors": 0}).Reload()
mean = [(e.step, float(make_ndarray(e.tensor_proto))) for e in read.Tensors("curvature/mean")]
told = {"mean": mean, "shown": report().headline["mean"]}
page = served("logs")
told["series"] = page.get(f"{ROOT}/runs").get_json()["series"]
(place,) = told["series"]
address = f"{ROOT}/packets?run={place['run']}&tag={place['tag']}&steps=0,2"
told["packets"] = page.get(address).data.count(b"KCV1")
Path("read.json").write_text(json.dumps(told))
"""

ELSEWHERE = """
import fsspec
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from keras_curvature.summaries.event_file import EventFile
from keras_curvature.summaries.run_writer import RunWriter

def steps():
    return [e.step for e in EventAccumulator("memory://here/run").Reload().Tensors("a")]

RunWriter("memory://here", "run")  # sees that it can write there
file = EventFile("memory://here/run")
for step in range(3):
    file.write(step, scalar_pb("a", 1.0))
    file.flush()
    assert steps() == [*range(step + 1)], steps()
file.close()
again = EventFile("memory://here/run")
again.write(1, scalar_pb("a", 3.0))
again.close()
assert steps() == [0, 1], steps()
"""


def done(folder, program, **environment):
    """What a process of its own leaves behind in a folder; `None` takes a variable away."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **environment,
    }
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={name: value for name, value in environment.items() if value is not None},
        text=True,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    folder = tmp_path_factory.mktemp("without")
    done(folder, NOT_INSTALLED + WORK + WRITE + READ)
    return folder


def test_derivatives_are_in_float64(without):
    """Of the sum of cubes."""
    found = np.load(without / "found.npz")
    x = found["x"]
    # Rounding of sums of two numbers below 6.
    kept = {"rtol": 0, "atol": 4e-15}
    np.testing.assert_allclose(found["value"][:, 0], np.sum(x**3, axis=1), **kept)
    np.testing.assert_allclose(found["hessian_diagonal"][:, 0], 6 * x, **kept)
    np.testing.assert_allclose(found["laplacian"][:, 0], 6 * x.sum(axis=1), **kept)


def test_tensorboard_and_the_tab_read_the_log(without):
    told = json.loads((without / "read.json").read_text())
    assert told["mean"] == [[step, pytest.approx(told["shown"])] for step in range(3)]
    (series,) = told["series"]
    assert series["steps"] == [0, 1, 2]
    assert told["packets"] == 2


def event_file(folder):
    (path,) = (folder / "logs" / "curvature").iterdir()
    return path.read_bytes()


@pytest.mark.slow
def test_where_it_is_installed_the_same_is_written_and_it_is_not_loaded(without, tmp_path):
    done(tmp_path, "import sys\n" + WORK + WRITE)
    assert event_file(tmp_path) == event_file(without)


@pytest.mark.slow
def test_a_path_with_a_scheme_is_written_through_fsspec(tmp_path):
    pytest.importorskip("fsspec")
    done(tmp_path, NOT_INSTALLED + ELSEWHERE)


@pytest.mark.slow
def test_a_path_that_nothing_reaches_is_refused(tmp_path):
    program = """
from keras_curvature.summaries.run_writer import RunWriter
try:
    RunWriter("nowhere://bucket/logs")
except OSError as error:
    print(error)
"""
    printed = done(tmp_path, NOT_INSTALLED + program).stdout
    assert "`log_dir` must be a local directory, or one that fsspec reaches" in printed
    assert "nowhere://bucket/logs" in printed


COMMANDS = """
import numpy as np
from keras_curvature_cli.__main__ import main

def run(*arguments):
    sys.argv = ["keras-curvature", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, arguments

run("--version")  # before Keras reads its configuration
import keras

x = np.random.default_rng(0).uniform(-1, 1, (16, 2))
np.savez("probe.npz", x=x, y=x[:, :1])
layers = [keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)]
keras.Sequential([keras.Input((2,)), *layers]).save("model.keras")
run("report", "model.keras", "probe.npz", "--log-dir", "logs")
run("verify", "model.keras", "probe.npz")
print(keras.config.backend())
"""


@pytest.mark.slow
def test_the_command_line_takes_the_backend_of_kerass_configuration(tmp_path):
    backend = keras.config.backend()
    (tmp_path / "keras.json").write_text(json.dumps({"backend": backend}))
    environment = {"KERAS_BACKEND": None, "KERAS_HOME": str(tmp_path)}
    printed = done(tmp_path, NOT_INSTALLED + COMMANDS, **environment).stdout.splitlines()
    assert (printed[0], printed[-1]) == (kc.__version__, backend)
    assert any(line.startswith("Diagnosis of sequential") for line in printed)
    assert any("right for this model" in line for line in printed)
    assert len(list((tmp_path / "logs" / "curvature").iterdir())) == 1
