"""`keras-curvature prove`: words, JSON and exit codes."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from keras_curvature_cli import corners
from keras_curvature_cli.app import app
from keras_curvature_cli.faults import UnusableError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    inputs = keras.Input((2,))
    square = keras.layers.Multiply()([inputs, inputs])
    cube = keras.layers.Multiply()([square, inputs])
    keras.Model(inputs, cube).save(directory / "cube.keras")
    pair = {name: keras.Input((1,), name=name) for name in ("spot", "strike")}
    keras.Model(pair, keras.layers.Multiply()(list(pair.values()))).save(directory / "pair.keras")
    net = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(24, "tanh"),
         keras.layers.Dense(24, "tanh"), keras.layers.Dense(1)]
    )  # fmt: skip
    rng = np.random.default_rng(0)
    net.set_weights([rng.normal(size=w.shape) for w in net.get_weights()])
    net.save(directory / "net.keras")
    return directory


@pytest.fixture
def run(files, monkeypatch):
    monkeypatch.chdir(files)
    return lambda *arguments: CliRunner().invoke(app, ["prove", *map(str, arguments)])


BOX = ("--low", "strike=0.1,spot=-1", "--high", "strike=1,spot=1")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("cube.keras", *BOX, "--shape", "strike=convex"), 0, "Proved: convex in strike"),
        (("cube.keras", *BOX, "--shape", "spot=convex"), 1, "Refuted: convex in spot"),
        (("cube.keras", "--low", 0.1, "--high", 1, "--shape", "convex"), 0, "Proved: convex joint"),
        (("cube.keras", *BOX, "--shape", "spot=7", "--shape", "strike=convex"), 0, "Proved: of 2"),
        (
            ("net.keras", "--low", -1, "--high", 1, "--shape", "0=500", "--seconds", 0.01),
            3, "Open: |second derivative along x0| at most 500",
        ),
        (("pair.keras", "--low", 80, "--high", 120, "--shape", "spot=convex"), 0, "strike 80 to"),
        (
            ("pair.keras", "--low", "spot=80", "--high", "spot=90", "--shape", "spot=convex"), 2,
            "Missing: ['strike']. Received: ['spot'].",
        ),
        (("cube.keras", "--low", 1, "--high", 0, "--shape", "0=convex"), 2, "other way round?"),
        (("cube.keras", "--low", "a", "--high", 0, "--shape", "0=convex"), 2, "--low must be num"),
        (("cube.keras", *BOX, "--shape", "spot=convx"), 2, "Did you mean 'convex'?"),
        (("none.keras", *BOX, "--shape", "spot=convex"), 2, "There is no file none.keras"),
        (("cube.keras", *BOX), 2, "--shape"),
    ],
)  # fmt: skip
def test_the_code_is_the_verdict(run, arguments, code, words):
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert words in " ".join(result.output.split())


def test_json_and_a_picture(run, tmp_path):
    picture = tmp_path / "proof.png"
    result = run("cube.keras", *BOX, "--shape", "spot=convex", "--json", "--picture", picture)
    data = json.loads(result.output)
    assert data["verdict"] == "Refuted"
    claim = data["claims"]["spot_convex"]
    assert claim["proved"] + claim["refuted"] + claim["open"] == pytest.approx(1)
    assert claim["counterexamples"][0]["at"]["spot"] < 0
    assert data["low"] == {"strike": 0.1, "spot": -1}
    assert 0 <= data["setup_seconds"] < data["total_seconds"]
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_what_is_written_is_read():
    assert corners.corner("--low", "0.5") == 0.5
    assert corners.corner("--low", "0.5, 1e-3") == [0.5, 1e-3]
    assert corners.corner("--low", "a=1,b=2") == {"a": 1, "b": 2}
    assert corners.claims(["convex"]) == "convex"
    assert corners.claims(["a=convex,2.5", "a=increasing", "0+b=convex", "|hessian|=3"]) == {
        "a": ["convex", 2.5, "increasing"], (0, "b"): ["convex"], "|hessian|": [3.0],
    }  # fmt: skip
    for wrong in (lambda: corners.corner("--low", "a=1,2"), lambda: corners.claims(["a=b", "c"])):
        with pytest.raises(UnusableError, match="Received"):
            wrong()
