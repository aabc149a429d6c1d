"""The example on PyTorch is run as a reader would run it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import truth

PROGRAM = Path(__file__).parents[2] / "examples" / "helmholtz.py"


def load(name):
    spec = importlib.util.spec_from_file_location(name, PROGRAM.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def helmholtz():
    return load("helmholtz")


@pytest.mark.slow
def test_it_ends_with_errors_and_a_picture(tmp_path):
    """Nobody has to say which backend."""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    run = subprocess.run(
        [sys.executable, PROGRAM, "--epochs", "1", "--out", tmp_path],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    picture = tmp_path / "helmholtz.png"
    assert picture.stat().st_size > 10_000
    assert str(picture) in run.stdout.strip().splitlines()[-1]
    assert "relative L2 error of Δu" in run.stdout


@pytest.mark.slow
def test_the_equation_is_solved_to_two_per_cent(helmholtz):
    u, losses = helmholtz.solve(15)
    assert losses[-1] < 0.01 * losses[0]
    assert all(error < 0.02 for error in helmholtz.errors(u).values())


def test_the_closed_form_is_right(helmholtz):
    """Against float64 differences; rounding at such a step."""
    points = np.random.default_rng(0).uniform(0.1, 0.9, (5, 2))

    def wave(points):
        return helmholtz.wave(torch.tensor(points)).numpy()

    hessian = truth.hessian_of_value(wave, points, 0.01)[:, 0]
    known = helmholtz.bending(torch.tensor(points)).numpy()[:, 0]
    np.testing.assert_allclose(np.trace(hessian, axis1=1, axis2=2), known, atol=1e-6)


# What an example says of a network of its own; the drawing of some needs no training either.
SAID = {
    "soliton": lambda one, net, axes: (one.errors(net), one.draw_terms(axes, net)),
    "plate": lambda one, net, axes: (one.errors(net), one.draw_profile(axes, net)),
    "poisson": lambda one, net, axes: (one.errors(net), one.compare(net)),
    "fokker_planck": lambda one, net, axes: (one.errors(net), one.compare(net)),
    "high_dimension": lambda one, net, axes: (one.errors(net),),
    "black_scholes_gamma": lambda one, net, axes: (one.errors(net),),
    "convex_smile": lambda one, net, axes: (one.figures(net),),
    "no_arbitrage": lambda one, net, axes: (dict(enumerate(one.broken(net, one.quotes()[0]))),),
    "quadratic": lambda one, net, axes: (one.draw_curvature(axes, "silu", net),),
    "sunspots": lambda one, net, axes: (one.picture(net),),
}
ARGUMENTS = {"high_dimension": (5,), "quadratic": ("silu",)}


@pytest.mark.parametrize("name", SAID)
def test_the_examples_of_any_backend_say_it_in_numbers_on_this_one(name):
    """Results carry gradients by the weights here, which NumPy and matplotlib refuse."""
    example = load(name)
    net = example.build(*ARGUMENTS.get(name, ()))
    said = SAID[name](example, net, Figure().subplots())
    for numbers in said:
        assert not isinstance(numbers, dict) or np.isfinite(list(numbers.values())).all()
