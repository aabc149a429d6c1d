"""The examples are run as a reader would run them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_curvature as kc
import truth

ROOT = Path(__file__).parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


OF_MANY_INPUTS = ["digits", "sunspots", "jokes"]
TRAINED_THROUGH = [
    "poisson", "black_scholes_gamma", "oscillator", "convex_smile", "no_arbitrage",
    "soliton", "plate", "fokker_planck", "high_dimension",
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "quadratic",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ["diabetes", *OF_MANY_INPUTS, *TRAINED_THROUGH]
        ),
    ],
)
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
    assert silu["kind"] == "smooth"
    np.testing.assert_allclose(silu["mean"], 2, rtol=0.02)
    assert silu["hidden_fraction"] < 0.01
    assert sigmoid["kind"] == "still straight"
    assert abs(sigmoid["mean"]) < 0.1


@pytest.mark.slow
def test_poisson_s_equation_is_solved_to_one_per_cent(tmp_path):
    poisson = load("poisson")
    u, monitor = poisson.solve(20, tmp_path)
    found = poisson.errors(u)
    assert found["u"] < 0.01
    assert found["Δu"] < 0.05
    for network, known in poisson.compare(u).values():
        assert network == pytest.approx(known, rel=0.02)
    # The monitor's error goes down, and its last one is that of the network.
    errors = monitor.history["reference_rmse"]
    assert errors[-1] < 0.05 * errors[0]
    probe = poisson.grid(16)
    difference = kc.hessian_diagonal(u, probe) - poisson.second_derivatives(probe)
    assert errors[-1] == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-3)


def test_the_closed_forms_of_the_examples_are_right():
    """Against float64 differences of what each of them is the derivative of."""
    options, poisson = load("black_scholes_gamma"), load("poisson")
    oscillator, smile = load("oscillator"), load("convex_smile")
    soliton, plate, rates = load("soliton"), load("plate"), load("fokker_planck")
    sine_gordon = load("high_dimension")
    s = np.random.default_rng(0).uniform(0.8, 1.2, size=(4, options.STOCKS))
    x, t = np.random.default_rng(1).uniform(0.1, 0.9, size=(4, 2)), np.linspace(0.1, 4, 5)[:, None]
    k = np.linspace(0.6, 1.4, 5)[:, None]
    pairs = [
        (truth.gradient(options.price, s, 0.01), options.delta(s)),
        (truth.hessian_of_value(options.price, s, 0.01), options.gamma(s)),
        (truth.gradient(oscillator.position, t, 0.01)[..., 0], oscillator.velocity(t)),
        (truth.gradient(oscillator.velocity, t, 0.01)[..., 0], oscillator.acceleration(t)),
        (truth.hessian_of_value(smile.call_price, k, 0.01)[..., 0, 0], smile.density(k)),
    ]
    hessian = truth.hessian_of_value(poisson.solution, x, 0.01)
    pairs += [
        (np.diagonal(hessian, axis1=-2, axis2=-1), poisson.second_derivatives(x)),
        (-np.trace(hessian, axis1=-2, axis2=-1), poisson.source(x)),
    ]
    of, in_disc = soliton.terms(x), x / 2
    slope = truth.gradient(soliton.solution, x, 0.01)
    hessian = truth.hessian_of_value(soliton.solution, x, 0.01)
    pairs += [
        (slope[..., 0], of["u_t"]),
        (slope[..., 1], of["u_x"]),
        (np.diagonal(hessian, axis1=-2, axis2=-1), soliton.second_derivatives(x)),
        (of["u_t"] + 6 * of["u"] * of["u_x"] + of["u_xxx"], np.zeros((4, 1))),
    ]
    hessian = truth.hessian_of_value(plate.solution, in_disc, 0.01)
    pairs.append(
        (np.diagonal(hessian, axis1=-2, axis2=-1), plate.second_derivatives(in_disc)),
    )
    points = np.random.default_rng(2).uniform(0.2, 0.8, size=(3, 1 + rates.RATES))
    slope = truth.gradient(rates.solution, points, 0.01)
    hessian = truth.hessian_of_value(rates.solution, points, 0.01)[..., 1:, 1:]
    by_time, by_rates = slope[..., 0], slope[:, 0, 1:]
    drift = rates.RETURN * (rates.RATES + np.sum(points[:, 1:] * by_rates, axis=1))
    spread = np.einsum("ni,ij,nj->n", by_rates, rates.COVARIANCE, by_rates)
    pairs += [
        (np.diagonal(hessian, axis1=-2, axis2=-1), rates.second_derivatives(points)),
        (np.sum(hessian * rates.COVARIANCE, axis=(-2, -1)), rates.diffusion(points)),
        (by_time[:, 0] - drift - rates.diffusion(points)[:, 0] / 2, spread / 2),
    ]
    hessian = truth.hessian_of_value(sine_gordon.solution, in_disc, 0.01)
    pairs.append((np.trace(hessian, axis1=-2, axis2=-1), sine_gordon.laplacian(in_disc)))
    for found, wanted in pairs:  # rounding at such a step
        np.testing.assert_allclose(found, wanted, atol=1e-7)
    basket = options.simulate()
    np.testing.assert_allclose(basket[1].mean(), options.price(basket[0]).mean(), rtol=0.02)


def test_the_tone_of_the_plate_is_the_known_one():
    """Where the shape is level at the edge, and Leissa's number for it."""
    plate = load("plate")
    shape = plate.known()
    assert shape(0.0) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose([shape(1.0), shape.deriv()(1.0)], 0, atol=1e-9)
    assert pytest.approx(10.2158, abs=5e-5) == plate.TONE**2
    # Δ²u = k⁴ u, term by term in r²: Δ r^(2m) = 4 m² r^(2m - 2).
    twice = [16 * (m * (m - 1)) ** 2 * shape.coef[m] for m in range(2, 20)]
    np.testing.assert_allclose(twice, plate.TONE**4 * shape.coef[:18], rtol=1e-9)


@pytest.mark.slow
def test_a_soliton_keeps_its_shape(tmp_path):
    soliton = load("soliton")
    u, monitor = soliton.solve(24, tmp_path)
    found = soliton.errors(u)
    assert found["u"] < 0.02  # 0.6 to 1 %
    assert found["u_xxx"] < 0.05
    for network, known in soliton.compare(u).values():
        assert network == pytest.approx(known, rel=0.03)
    errors = monitor.history["reference_rmse"]
    assert errors[-1] < 0.1 * errors[0]


@pytest.mark.slow
def test_the_tone_of_a_plate_is_found(tmp_path):
    plate = load("plate")
    learned = plate.learn(10, tmp_path)
    assert learned.tones[-1] == pytest.approx(plate.TONE, rel=1e-3)
    assert plate.errors(learned.network)["moment"] < 0.01
    assert learned.monitor.history["reference_rmse"][-1] < 0.1


@pytest.mark.slow
def test_the_density_of_correlated_rates_is_found(tmp_path):
    example = load("fokker_planck")
    log_density, _ = example.solve(10, tmp_path)
    found = example.errors(log_density)
    assert found["log p"] < 0.01
    assert found["Σ C_ij u_ij"] < 0.05


@pytest.mark.slow
def test_an_equation_in_a_hundred_dimensions_is_solved(tmp_path):
    example = load("high_dimension")
    found = example.errors(example.solve(5, 100, tmp_path).network)
    assert found["u"] < 0.01
    assert found["u"] < found["the best a (1 - |x|²)"] / 3


@pytest.mark.slow
def test_deltas_make_gamma_five_times_as_accurate(tmp_path):
    example = load("black_scholes_gamma")
    gamma = {
        labels: example.train(labels, 20, tmp_path).errors["gamma"] for labels in example.LABELS
    }
    # Seven to twelve times, for four seeds of network and paths.
    assert gamma["prices"] > 5 * gamma["deltas"]
    assert gamma["deltas"] < 0.1


@pytest.mark.slow
def test_damping_and_stiffness_are_found(tmp_path):
    example = load("oscillator")
    learned = example.learn(30, tmp_path)
    known = np.array([example.DAMPING, example.STIFFNESS])
    scatter = example.standard_errors()
    np.testing.assert_array_less(np.abs(learned.constants - known), 2 * scatter)
    np.testing.assert_array_less(scatter / known, 0.06)
    assert max(example.errors(learned.network).values()) < 0.03


@pytest.mark.slow
def test_a_penalty_makes_the_smile_convex(tmp_path):
    fitted = load("convex_smile").fit_both(30, tmp_path)
    free, convex = fitted["free"], fitted["convex"]
    assert free.monitor.history["shape_fraction"][-1] < 0.9
    assert convex.monitor.history["shape_fraction"][0] < 0.9
    assert convex.monitor.history["shape_fraction"][-1] == 1
    assert convex.figures["convex fraction"] == 1
    assert convex.figures["error of density"] < 0.7 * free.figures["error of density"]
    assert convex.figures["error of price"] <= free.figures["error of price"]


@pytest.mark.slow
def test_prices_free_of_arbitrage_are_nearer_to_the_truth(tmp_path):
    """Seeds of quotes and weights differ: from a quarter to two thirds of the error is gone."""
    example = load("no_arbitrage")
    fitted = example.fit_both(60, tmp_path)
    free, kept = fitted["free"], fitted["kept"]
    assert free.shape_fraction < 0.9
    assert kept.shape_fraction > 0.99
    assert kept.error < 0.9 * free.error


@pytest.mark.slow
def test_a_penalty_makes_digits_less_curved_and_as_well_read(tmp_path):
    readers = load("digits").train_all(6, tmp_path)
    plain, penalised = readers["plain"], readers["penalised"]
    before, after = (plain.monitor.history["rms"][i] for i in (0, -1))
    assert after > before
    # Half of what it was, and a quarter of what it would have become; seeds differ.
    assert penalised.monitor.history["rms"][-1] < min(0.75 * before, after / 3)
    # One digit more or less of 540 read is 0.002.
    assert penalised.accuracy[-1] > plain.accuracy[-1] - 0.01 > 0.9


def test_the_words_are_those_of_the_jokes():
    ids, about, words = load("jokes").load()
    assert ids.max() < len(words)
    assert not any(load("jokes").NAME.search(word) for word in words)
    assert 0.2 < about.mean() < 0.5
