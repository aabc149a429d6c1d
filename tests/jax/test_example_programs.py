"""The example on JAX is run as a reader would run it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import truth

PROGRAM = Path(__file__).parents[2] / "examples" / "reaction.py"


@pytest.fixture(scope="module")
def reaction():
    spec = importlib.util.spec_from_file_location("reaction", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_it_ends_with_a_picture_and_the_tensorboard_command(tmp_path):
    """Nobody has to say which backend."""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    run = subprocess.run(
        [sys.executable, PROGRAM, "--epochs", "2", "--out", tmp_path],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    *_, before_last, last = run.stdout.strip().splitlines()
    picture = tmp_path / "reaction.png"
    assert picture.stat().st_size > 10_000
    assert str(picture) in before_last
    assert f"tensorboard --logdir {tmp_path}" in last
    assert list(tmp_path.rglob("events.out.tfevents*"))


@pytest.mark.slow
def test_the_equation_is_solved_to_two_per_cent(reaction, tmp_path):
    u, monitor = reaction.solve(20, tmp_path)
    errors = reaction.errors(u)
    # A third and half of a per cent with this seed.
    assert errors["u"] < 0.02
    assert errors["u″"] < 0.02
    measured = monitor.history["reference_rmse"]
    assert measured[-1] < 0.05 * measured[0]
    # Nobody has asked for the third derivative: it is the least right, next to the ignition.
    for name, pairs in reaction.in_the_middle(u).items():
        for found, known in pairs:
            assert found == pytest.approx(known, rel=0.2 if name == "∂u″/∂λ" else 0.03)


def test_the_closed_forms_are_right(reaction):
    """Against float64 differences; rounding at such a step."""
    low, high = (0.1, reaction.LEAST), (0.9, reaction.MOST)
    points = np.random.default_rng(0).uniform(low, high, (5, 2))
    second = truth.hessian_of_value(reaction.solution, points, 0.01)[..., 0, 0]
    np.testing.assert_allclose(second, reaction.bending(points), atol=1e-7)
    points[:, 0] = 0.5
    by_rate = truth.gradient(reaction.bending, points, 0.01)[:, 0, 1]
    np.testing.assert_allclose(by_rate, reaction.bending_by_rate(points[:, 1]), atol=1e-7)
