"""The examples and the README are run as a reader would run them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["quadratic", "diabetes"])
def test_an_example_ends_with_a_picture_and_the_tensorboard_command(name, tmp_path, capsys):
    picture = load(name).main(epochs=2, out=tmp_path)
    assert picture.stat().st_size > 10_000
    *_, before_last, last = capsys.readouterr().out.strip().splitlines()
    assert str(picture) in before_last
    assert f"tensorboard --logdir {tmp_path}" in last
    assert list(tmp_path.rglob("events.out.tfevents*"))


@pytest.mark.slow
def test_the_demo_answers_the_founding_question(tmp_path):
    quadratic = load("quadratic")
    last = {}
    for activation in quadratic.NETWORKS:
        _, monitor = quadratic.watch(activation, 150, tmp_path)
        last[activation] = {name: values[-1] for name, values in monitor.history.items()}
        last[activation]["kind"] = monitor.reports[""].verdict.kind
    relu, silu, sigmoid = (last[name] for name in ("relu", "silu", "sigmoid"))
    assert relu["kind"] == "piecewise linear"
    assert (relu["mean"], relu["zero_fraction"], relu["hidden_fraction"]) == (0, 1, 1)
    # One seed; seeds differ by a few per cent (what is kinked is also noisy).
    np.testing.assert_allclose([relu["scale_mean"], relu["slope_change"]], 2, rtol=0.05)
    assert silu["kind"] == "healthy"
    np.testing.assert_allclose(silu["mean"], 2, rtol=0.02)
    assert silu["hidden_fraction"] < 0.01
    assert sigmoid["kind"] == "still straight"
    assert abs(sigmoid["mean"]) < 0.1


def test_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    namespace: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    shapes = re.findall(r"kc\.(\w+)\(model, (.*)\)  +# (\(.*?\))", blocks[1])
    assert len(shapes) == 4
    for name, arguments, shape in shapes:
        found = eval(f"kc.{name}(model, {arguments})", namespace)
        assert str(tuple(found.shape)) == shape, name
