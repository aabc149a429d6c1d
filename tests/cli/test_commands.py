"""The command line as a user meets it: what is printed, and with which code it ends."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_curvature as kc
from keras_curvature.figures import Picture
from keras_curvature_cli.__main__ import MISSING
from keras_curvature_cli.app import app

ROOT = Path(__file__).parents[2]
X = np.random.default_rng(0).uniform(-1, 1, size=(24, 2))
Y = X[:, :1] ** 2 + X[:, 1:]
RIGHT = X + 2


def net(activation, outputs=1):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(16, activation, name="bend"), keras.layers.Dense(outputs)]
    return keras.Sequential([keras.Input((2,)), *layers], name=activation)


OWN_LAYER = """
import keras

class Waves(keras.layers.Layer):
    def __init__(self, speed, **kwargs):
        super().__init__(**kwargs)
        self.speed = speed

    def call(self, x):
        return keras.ops.sin(self.speed * x)

    def get_config(self):
        return {**super().get_config(), "speed": self.speed}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    net("silu").save(directory / "silu.keras")
    net("relu").save(directory / "relu.keras")
    line = net("linear")
    line.compile("adam", "mse")
    line.save(directory / "line.keras")
    net("silu", outputs=3).save(directory / "three.keras")
    sides = [keras.Input((2,), name=name) for name in ("left", "right")]
    square = keras.layers.Multiply()([sides[0], *sides])
    keras.Model(sides, square).save(directory / "two.keras")
    unsafe = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x**2)])
    unsafe.save(directory / "lambda.keras")
    (directory / "own_layers.py").write_text(OWN_LAYER)
    namespace: dict = {}
    exec(OWN_LAYER, namespace)
    own = keras.Sequential([keras.Input((2,)), namespace["Waves"](3.0)])
    own.save(directory / "own.keras")
    town, width = keras.Input((1,), dtype="string", name="town"), keras.Input((1,), name="width")
    known = keras.layers.StringLookup(vocabulary=["Bern", "Rome"], output_mode="one_hot")(town)
    product = keras.layers.Multiply()([keras.layers.Dense(1)(known), width, width])
    keras.Model({"town": town, "width": width}, product).save(directory / "towns.keras")
    (directory / "breadth.csv").write_text("town;breadth;price\nBern;0,5;1\nRome;1,5;2\n")
    (directory / "runs").mkdir()
    (directory / "towns.csv").write_text("town;width;price\nBern;0,5;1\nRome;1,5;2\nBern;2,5;4\n")
    (directory / "damaged.keras").write_bytes(b"no zip")
    (directory / "model.h5").write_bytes(b"")
    np.save(directory / "x.npy", X)
    np.save(directory / "nan.npy", X * np.nan)
    np.savez(directory / "xy.npz", x=X, y=Y)
    np.savez(directory / "two.npz", right=RIGHT, left=X)
    np.savez(directory / "more.npz", left=X, right=RIGHT, known=X)
    np.savez(directory / "abc.npz", a=X, b=X, c=Y)
    np.save(directory / "flat.npy", X[:, 0])
    np.savez(directory / "named.npz", features=X, target=Y)
    table = np.hstack([X, Y])
    np.savetxt(directory / "i.csv", table, delimiter=",", header=",b,price", comments="")
    np.savetxt(
        directory / "long.csv", table[:, :2], delimiter=",", header="strike,vol", comments=""
    )
    np.savetxt(directory / "t.csv", table, delimiter=",", header="a,b,price", comments="")
    return directory


@pytest.fixture
def run(files, monkeypatch):
    monkeypatch.chdir(files)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def test_report(run):
    result = run("report", "silu.keras", "t.csv", "--y", "price")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("silu.keras at t.csv\n")
    for part in ("\nmean ", "\nr2 ", "\na  ", "Diagnosis of silu: no findings",
                 "by second-order Taylor propagation; in float32"):  # fmt: skip
        assert part in result.output


def test_the_library_itself_can_be_run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["keras_curvature", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("keras_curvature", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{kc.__version__}\n"


@pytest.mark.slow
def test_several_inputs_are_the_arrays_of_their_names(run):
    """Left squared times right bends by twice the right one, along the left one alone."""
    result = run("report", "two.keras", "two.npz", "--json", "--units", "raw")
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)["outputs"].values()
    assert report["numbers"]["mean"] == pytest.approx(2 * RIGHT.mean(), rel=1e-5)
    assert run("verify", "two.keras", "two.npz").exit_code == 0
    some = run("report", "two.keras", "two.npz", "--json", "--wrt", "right,0")
    (report,) = json.loads(some.stdout)["outputs"].values()
    assert list(report["features"]) == ["right[0]", "right[1]", "left[0]", "left[1]"]
    assert "each input once" in run("verify", "two.keras", "two.npz", "--wrt", "left,0").output


def test_inputs_called_x_and_y_are_the_arrays_of_their_names(run, files):
    """Elsewhere y are known values."""
    x, y = (keras.Input((1,), name=name) for name in "xy")
    keras.Model([x, y], keras.layers.Multiply()([x, x, y])).save(files / "plane.keras")
    np.savez(files / "plane.npz", x=X[:, :1], y=X[:, 1:])
    result = run("report", "plane.keras", "plane.npz", "--units", "raw", "--json")
    numbers = json.loads(result.stdout)["outputs"][""]["numbers"]
    assert numbers["mean"] == pytest.approx(2 * X[:, 1].mean(), rel=1e-5)
    assert "r2" not in numbers


@pytest.mark.slow
def test_columns_of_the_points_go_by_the_names_in_the_file(run):
    table = ["silu.keras", "t.csv", "--y", "price"]
    model = keras.models.load_model("silu.keras")
    known = float(np.mean(kc.hessian_diagonal(model, X, columns=[1])))
    for columns in ("b", "1", "-1"):
        result = run("report", *table, "--columns", columns, "--json")
        assert result.exit_code == 0, result.output
        (report,) = json.loads(result.stdout)["outputs"].values()
        assert list(report["features"]) == ["b"]
        assert report["numbers"]["mean"] == pytest.approx(known, rel=1e-4)
    for command in ("verify", "diagnose"):
        assert run(command, *table, "--columns", "b,a").exit_code == 0
    assert run("compare", "silu.keras", "relu.keras", *table[1:], "--columns", "b").exit_code == 0


def test_a_layer_of_ones_own_comes_from_a_file_that_is_named(run):
    result = run("verify", "own.keras", "x.npy", "--code", "own_layers.py", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ok"] is True


@pytest.mark.slow
def test_columns_are_the_inputs_of_their_names_text_among_them(run):
    table = ["towns.keras", "towns.csv", "--y", "price", "--wrt", "width"]
    result = run("report", *table, "--json")
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)["outputs"].values()
    model = keras.models.load_model("towns.keras")
    x = {"town": np.array([["Bern"], ["Rome"], ["Bern"]]), "width": np.ones((3, 1))}
    assert report["numbers"]["mean"] == pytest.approx(2 * np.mean(model(x)), rel=1e-5)
    assert len(report["features"]) == 1
    for command in ("diagnose", "verify"):
        assert run(command, *table).exit_code == 0


@pytest.mark.slow
def test_the_loss_is_the_one_that_the_model_was_compiled_with(run):
    """The squared error of a straight line bends by twice its squared slope."""
    result = run("report", "line.keras", "xy.npz", "--units", "raw", "--output", "loss", "--json")
    found = json.loads(result.stdout)
    first, _, second, _ = net("linear").get_weights()
    expected = 2 * ((first @ second) ** 2).sum()
    assert found["outputs"][""]["numbers"]["mean"] == pytest.approx(expected, rel=1e-4)
    assert found["diagnosis"]["model"] == "linear"


def test_report_as_json_is_what_the_library_says(run):
    result = run("report", "silu.keras", "xy.npz", "--json", "--dtype", "float64", "--units", "raw")
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)["outputs"].values()
    laplacian = kc.laplacian(net("silu"), X, dtype="float64").numpy()
    assert report["numbers"]["mean"] == pytest.approx(laplacian.mean(), rel=1e-9)
    assert report["numbers"]["r2"] < 1
    assert list(report["features"]) == ["x0", "x1"]


def test_report_writes_a_picture_and_a_log(run, tmp_path):
    picture, log = tmp_path / "p.png", tmp_path / "logs"
    result = run("report", "silu.keras", "x.npy", "--picture", picture, "--log-dir", log)
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list(log.rglob("*tfevents*"))
    assert f"tensorboard --logdir {log}" in result.output


def test_a_picture_has_the_models_name(run, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(Picture, "savefig", lambda self, path: seen.append(self))
    run("report", "silu.keras", "x.npy", "--picture", tmp_path / "p.png")
    texts = [text.get_text() for text in seen[0].texts]
    assert texts[0] == "silu.keras"
    assert "Before training" not in texts


@pytest.mark.slow
def test_options_reach_the_library(run):
    result = run(
        "report", "three.keras", "x.npy", "--output", "1", "--engine", "nested",
        "--scale", "0.5", "--batch-size", "7", "--wrt", "0", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)["outputs"].values()
    assert report["units"] == "std"
    assert "Engine 'nested'" in " ".join(report["method"])
    assert "h = 0.5" in " ".join(report["method"])
    assert "1 output(s)" in report["method"][0]


def test_diagnose(run):
    result = run("diagnose", "relu.keras", "x.npy")
    assert result.exit_code == 0
    assert "Piecewise linear: relu in 'bend'" in result.output
    assert run("diagnose", "relu.keras", "x.npy", "--strict").exit_code == 1
    assert run("diagnose", "silu.keras", "x.npy", "--strict").exit_code == 0
    data = json.loads(run("diagnose", "relu.keras", "x.npy", "--json").stdout)
    assert data["findings"][0]["kind"] == "piecewise linear"
    assert data["healthy"] is False


def test_verify(run):
    result = run("verify", "silu.keras", "x.npy", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert "right for this model, as far as differences can tell" in result.output
    data = json.loads(run("verify", "silu.keras", "x.npy", "--json").stdout)
    assert data["ok"] is True


def test_the_ways_of_the_backend_can_be_verified(run):
    ways = {"tensorflow": "tape in tape", "jax": "jax.hessian", "torch": "torch double backward"}
    way = ways[keras.config.backend()]
    result = run("verify", "silu.keras", "x.npy", "--way", way, "--json")
    assert result.exit_code == 0, result.output
    _, hessian = json.loads(result.stdout)["checks"]
    assert (hessian["name"], hessian["engine"], hessian["ok"]) == ("hessian", way, True)
    refused = run("verify", "silu.keras", "x.npy", "--way", "tape", "--engine", "nested")
    assert refused.exit_code == 2
    assert "there is no `engine`" in refused.output


def test_a_shape_is_asked_for_by_column_or_index_and_can_be_a_gate(run):
    """Softplus of rising weights is convex and increasing, whatever they are."""
    model = net("softplus")
    model.set_weights([abs(weights) for weights in model.get_weights()])
    model.save("convex.keras")
    shape = ["--shape", "a=convex,increasing", "--shape", "1=convex"]
    result = run("report", "convex.keras", "t.csv", "--y", "price", *shape, "--strict")
    assert result.exit_code == 0, result.output
    assert "- increasing in a at 100 % of the points" in result.output
    broken = run("report", "convex.keras", "t.csv", "--y", "price", "--shape", "b=concave")
    assert broken.exit_code == 0
    assert "- concave in b at none of the points; worst: off by" in broken.output
    asked = ["--shape", "b=concave", "--shape", "b=increasing", "--json", "--strict"]
    gated = run("report", "convex.keras", "t.csv", "--y", "price", *asked)
    assert gated.exit_code == 1
    (report,) = json.loads(gated.stdout)["outputs"].values()
    concave, increasing = report["shape"]
    assert (concave["word"], concave["fraction"]) == ("concave", 0)
    assert set(concave["at"]) == {"a", "b"}
    assert increasing["fraction"] == 1
    assert not {"point", "at"} & set(increasing)  # there is no worst point
    assert report["numbers"]["shape_fraction"] == 0


@pytest.mark.parametrize(
    ("judged", "at_kinks", "wrong", "said"),
    [(8, 0, 3, "WRONG in laplacian"), (0, 8, 0, "not judged")],
)
def test_verify_ends_with_1_where_something_is_wrong(
    run, monkeypatch, judged, at_kinks, wrong, said
):
    wrong = kc.Check("laplacian", "taylor", 0.5, 1e-3, "example 0", 8, judged, at_kinks, wrong)
    found = kc.Verification("net", (wrong,), (), 1e-3, "float32", (), ("Because.",))
    monkeypatch.setattr(kc, "verify", lambda *args, **kwargs: found)
    result = run("verify", "silu.keras", "x.npy")
    assert result.exit_code == 1
    assert said in result.output


@pytest.mark.slow
def test_compare(run, monkeypatch):
    result = run("compare", "relu.keras", "silu.keras", "xy.npz")
    assert result.exit_code == 0, result.output
    assert "relu.keras: Piecewise linear" in result.output
    assert "laplacian – (0 in the first)" in " ".join(result.output.split())
    data = json.loads(run("compare", "silu.keras", "silu.keras", "x.npy", "--json").stdout)
    assert data["apart"] == {"value": 0.0, "jacobian": 0.0, "laplacian": 0.0}
    assert max(map(len, result.output.splitlines())) <= 80
    assert "kinks count too" not in result.output
    # Known values are in the probe, and their spread is that of both.
    assert ("σy/σx²" in result.output, "each model's own" in result.output) == (True, False)
    monkeypatch.setenv("COLUMNS", "140")
    wide = run("compare", "relu.keras", "silu.keras", "x.npy").output
    assert "kinks count too" in wide
    assert "σy: of each model's own output; with --y that of y for both" in wide
    monkeypatch.setenv("COLUMNS", "80")
    result = run("compare", "silu.keras", "three.keras", "x.npy")
    assert result.exit_code == 0, result.output
    assert "different names or shapes" in " ".join(result.output.split())


@pytest.mark.slow
def test_outputs_are_compared_by_name(run, files):
    """Risk is x² and price 3 x² wherever there is one, in whatever order."""
    x = keras.Input((2,))
    called = {"risk": x**2, "price": 3 * x**2, "other": x**2}
    kept = {"a": ("risk", "price"), "b": ("price", "risk"), "c": ("other", "price")}
    for file, names in kept.items():
        outputs = [keras.layers.Identity(name=name)(called[name]) for name in names]
        keras.Model(x, outputs).save(files / f"{file}.keras")

    def means(text):
        rows = [line.split() for line in text.splitlines()]
        return [row[1:3] for row in rows if row[:1] == ["mean"]]

    turned = run("compare", "a.keras", "b.keras", "x.npy", "--units", "raw").output
    assert means(turned) == [["2", "2"], ["6", "6"]]
    assert "different names or shapes" in " ".join(turned.split())
    other = run("compare", "a.keras", "c.keras", "x.npy", "--units", "raw").output
    assert means(other) == [["6", "6"]]


@pytest.fixture(scope="module")
def as_on_the_page(tmp_path_factory):
    """A directory with files of all names that the pages use."""
    directory = tmp_path_factory.mktemp("page")
    for name, activation in (("model", "silu"), ("before", "relu"), ("after", "silu")):
        net(activation).save(directory / f"{name}.keras")
    table = np.hstack([X, Y])
    np.savetxt(directory / "probe.csv", table, delimiter=",", header="a,b,price", comments="")
    np.save(directory / "probe.npy", X)
    np.savez(directory / "probe.npz", x=X, y=Y)
    return directory


COMMANDS = [
    "".join(either)
    for page in ("README.md", "docs/command-line.md")
    for either in re.findall(r"^keras-curvature (.+)$|`keras-curvature (\w+ \w+\.[^`]+)`",
                              (ROOT / page).read_text(), re.MULTILINE)
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_pages_say_can_be_typed(command, as_on_the_page, monkeypatch):
    monkeypatch.chdir(as_on_the_page)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output


JSON = {
    "report": ["silu.keras", "x.npy"],
    "diagnose": ["relu.keras", "x.npy"],
    "verify": ["silu.keras", "x.npy"],
    "compare": ["silu.keras", "relu.keras", "x.npy"],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", JSON)
def test_the_page_has_all_keys_of_the_json(command, run):
    page = (ROOT / "docs" / "command-line.md").read_text().partition("`--json` each")[2]
    row = re.search(rf"^\| `{command}` \| (.*) \|$", page, re.MULTILINE)[1]
    data = json.loads(run(command, *JSON[command], "--json").stdout)
    inner = {"report": "outputs", "compare": "models"}.get(command)
    inside = data[inner] if inner else {}
    first = next(iter(inside.values()) if isinstance(inside, dict) else iter(inside), {})
    told = set(re.findall(r"`(\w+)`", row)) - {"diagnose", *data.get("apart", ())}
    assert told == {*data, *first}


def test_the_pages_have_all_commands():
    assert {command.split()[0] for command in COMMANDS} == {
        "report",
        "diagnose",
        "verify",
        "compare",
        "prove",
        "runs",
        "export",
        "view",
    }
    assert len(COMMANDS) == 11


MISTAKES = {
    "no model": (["report", "none.keras", "x.npy"], 2, "There is no file none.keras"),
    "another format": (["report", "model.h5", "x.npy"], 2, "must be a .keras file"),
    "damaged": (["report", "damaged.keras", "x.npy"], 2, "Keras cannot load damaged.keras"),
    "code inside": (["report", "lambda.keras", "x.npy"], 2, "safe mode"),
    "own layer": (["report", "own.keras", "x.npy"], 2, "--code layers.py"),
    "no code": (["report", "own.keras", "x.npy", "--code", "none.py"], 2, "none.py cannot be run"),
    "not code": (["report", "own.keras", "x.npy", "--code", "x.npy"], 2, "must be a Python file"),
    "text": (["report", "silu.keras", "towns.csv"], 2, "these are text: town. Name the columns"),
    "no word": (["report", "silu.keras", "t.csv", "--shape", "a"], 2, "an input and a word"),
    "another word": (
        ["report", "silu.keras", "x.npy", "--shape", "0=bent"],
        2,
        "to one or several of",
    ),
    "a column": (["report", "silu.keras", "t.csv", "--x", "a,c"], 2, "--x must be names in t.csv"),
    "a column more": (
        ["report", "towns.keras", "towns.csv"],
        2,
        "--y price, or these with --x town,width",
    ),
    "a column by another name": (
        ["report", "towns.keras", "breadth.csv", "--y", "price"],
        2,
        "The probe has no column width, and no input is called breadth.",
    ),
    "a column that is an input": (
        ["report", "towns.keras", "towns.csv", "--y", "price", "--columns", "width"],
        2,
        "width is an input of the model by itself: --wrt width.",
    ),
    "a name nearly right": (
        ["report", "silu.keras", "long.csv", "--shape", "strik=convex"],
        2,
        "Received: 'strik'. Did you mean 'strike'?",
    ),
    "a column nearly right": (
        ["report", "silu.keras", "long.csv", "--columns", "strik"],
        2,
        "Received: 'strik'. Did you mean 'strike'?",
    ),
    "logs in the place of models": (
        ["compare", "runs", "runs", "x.npy"],
        2,
        "A model must be a .keras file, as model.save('model.keras') writes it. Received: runs, a",
    ),
    "no probe": (["verify", "silu.keras", "none.npy"], 2, "There is no file none.npy"),
    "nan": (["report", "silu.keras", "nan.npy"], 2, "NaN or infinite"),
    "columns": (["verify", "silu.keras", "t.csv"], 2, "a, b, price. Name columns"),
    "too few": (["diagnose", "silu.keras", "t.csv", "--y", "a,b"], 2, "silu.keras takes 2 inputs"),
    "shape": (["diagnose", "silu.keras", "flat.npy"], 2, "shape (n, 2), where n is their number"),
    "arrays": (["verify", "silu.keras", "abc.npz"], 2, "one input, and the probe has the arrays a"),
    "known values among inputs": (
        ["report", "two.keras", "more.npz"],
        2,
        "takes 2 inputs, and the probe has the arrays left",
    ),
    "one of two": (
        ["verify", "two.keras", "x.npy"],
        2,
        "takes 2 inputs: left, right. Give an",
    ),
    "which is y": (["report", "silu.keras", "named.npz"], 2, "--x features --y target;"),
    "which is y of three": (["report", "two.keras", "more.npz"], 2, "--x left,right --y known;"),
    "an index of pandas": (["report", "silu.keras", "i.csv"], 2, "`index=False` leaves it out), b"),
    "no loss": (
        ["report", "silu.keras", "xy.npz", "--output", "loss"],
        2,
        "silu.keras was saved without one. Call `model.compile`",
    ),
    "loss without labels": (
        ["report", "line.keras", "x.npy", "--output", "loss"],
        2,
        "name them with --y",
    ),
    "loss elsewhere": (
        ["diagnose", "line.keras", "xy.npz", "--output", "loss"],
        2,
        "for `report` alone",
    ),
    "the second": (["compare", "silu.keras", "two.keras", "x.npy"], 2, "two.keras takes 2 inputs"),
    "output": (
        ["report", "silu.keras", "x.npy", "--output", "nine"],
        2,
        "must be an index",
    ),
    "wrt": (["report", "silu.keras", "x.npy", "--wrt", "nine"], 2, "`wrt` must name"),
    "columns by name": (
        ["verify", "silu.keras", "t.csv", "--y", "price", "--columns", "c"],
        2,
        "names in the file: ['a', 'b']. Received: 'c'",
    ),
    "columns without names": (
        ["verify", "silu.keras", "x.npy", "--columns", "a"],
        2,
        "Give the index of the column",
    ),
    "engine": (["report", "silu.keras", "x.npy", "--engine", "nine"], 2, "nine"),
    "scale": (["report", "silu.keras", "x.npy", "--scale", "-1"], 2, "`scale` must be"),
    "picture": (["report", "silu.keras", "x.npy", "--picture", "p.jpg"], 2, "must end in .png"),
    "nowhere": (["report", "silu.keras", "x.npy", "--picture", "no/p.png"], 2, "no directory"),
    "log": (["report", "silu.keras", "x.npy", "--log-dir", "x.npy/logs"], 2, "log_dir"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_without_a_traceback(name, run):
    arguments, code, message = MISTAKES[name]
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_what_cannot_be_computed_ends_with_3(run, monkeypatch):
    def exhausted(*args, **kwargs):
        raise MemoryError("out of it")

    monkeypatch.setattr(kc, "diagnose", exhausted)
    result = run("diagnose", "silu.keras", "x.npy")
    assert result.exit_code == 3
    assert "Error: MemoryError: out of it" in result.output
    assert "Traceback" in run("--debug", "diagnose", "silu.keras", "x.npy").output


def called(*arguments, cwd, **environment):
    """The command in a process of its own."""
    source = Path(kc.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-m", "keras_curvature_cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(source), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_and_mistakes_do_not_wait_for_tensorflow(files):
    (files / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')\n")
    try:
        for arguments, code in ((["--help"], 0), (["--version"], 0), (["report", "a", "b"], 2)):
            done = called(*arguments, cwd=files)
            assert done.returncode == code, done.stderr
            assert "TensorFlow was imported" not in done.stderr
    finally:
        (files / "tensorflow.py").unlink()


def test_a_missing_extra_is_named(files):
    (files / "typer.py").write_text("raise ModuleNotFoundError('no', name='typer')\n")
    try:
        done = called("report", "silu.keras", "x.npy", cwd=files)
    finally:
        (files / "typer.py").unlink()
    assert done.returncode == 1
    assert done.stderr.strip() == MISSING.format(name="typer")


@pytest.mark.slow
def test_a_real_process_prints_its_answer_and_nothing_else(files):
    done = called("verify", "silu.keras", "x.npy", "--json", cwd=files)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    assert done.stderr == ""
