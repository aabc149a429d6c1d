"""The monitor's estimates: right on average, honest about their errors, and affordable."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
from keras_curvature.engines.options import Options
from keras_curvature.engines.tensorflow.random_directions import sparse_rademacher
from keras_curvature.measurement import estimated, exact_or_estimated
from keras_curvature.measurement.estimated import EstimatedMeasurer
from keras_curvature.measurement.exact import ExactMeasurer
from keras_curvature.measurement.probe import make_probe
from watched import untrained

INPUTS = 12


def matrix():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(INPUTS, INPUTS))
    return a + a.T


class Quadratic(keras.Layer):
    """`xᵀAx / 2 + b·x`, whose Hessian is `A` everywhere."""

    def call(self, x):
        a, b = (tf.constant(c, x.dtype) for c in (matrix(), np.arange(INPUTS)))
        return tf.einsum("ni,ij,nj->n", x, a / 2, x)[:, None] + x @ b[:, None]


def model():
    inputs = keras.Input((INPUTS,))
    return keras.Model(inputs, Quadratic(dtype="float64")(inputs))


def estimates_at(probe, directions=8, units="raw", **options):
    return EstimatedMeasurer(
        model(), make_probe(probe), options=Options(dtype="float64", **options),
        directions=directions, why="asked for", units=units,
    ).measure()[""]  # fmt: skip


PROBE = np.random.default_rng(1).normal(size=(3000, INPUTS)) * np.linspace(0.5, 2, INPUTS)


@pytest.mark.every(4)
@pytest.mark.parametrize("engine", ["auto", "nested"])
@pytest.mark.parametrize("units", ["raw", "std"])
def test_the_numbers_are_those_of_the_hessian(units, engine):
    found = estimates_at(PROBE, units=units, engine=engine)
    numbers, errors = found.headline(), found.detail()
    s = PROBE.std(axis=0) if units == "std" else np.ones(INPUTS)
    scale = 1.0 if units == "raw" else 1 / output_spread()
    a = matrix() * s[:, None] * s * scale
    assert abs(numbers["mean"] - np.trace(a)) < 4 * errors["mean_standard_error"]
    # Of 3000 points: sqrt(2 |A|² / 4 / 3000) for four directions in each half, and its own error.
    known = np.sqrt(2 * (a**2).sum() / 8 / 3000)
    np.testing.assert_allclose(errors["mean_standard_error"], known, rtol=0.1)
    size = np.linalg.norm(a)
    assert abs(numbers["rms"] - size) < 4 * errors["rms_standard_error"]
    assert errors["rms_standard_error"] < 0.03 * size
    # A quadratic is as curved over a distance, at an eighth of the points and two directions.
    error = errors["scale_mean_standard_error"]
    assert abs(numbers["scale_mean"] - np.trace(a)) < 4 * error
    np.testing.assert_allclose(numbers["scale_rms"], size, rtol=0.2)
    assert numbers["hidden_fraction"] == 0
    gradient = (PROBE @ matrix() + np.arange(INPUTS)) * s * scale
    steepness = np.sqrt((gradient**2).sum(axis=1).mean())
    np.testing.assert_allclose(errors["normalized_rms"], size / steepness, rtol=0.1)


def output_spread():
    x = PROBE
    return float((np.einsum("ni,ij,nj->n", x, matrix() / 2, x) + x @ np.arange(INPUTS)).std())


@pytest.mark.slow
def test_segments_and_multiscale_are_those_of_the_exact_monitor():
    keras.utils.set_random_seed(0)
    probe = make_probe(PROBE[:900].astype("float32"))
    net = keras.Sequential(
        [
            keras.Input((INPUTS,)),
            layers.Dense(16, "tanh"),
            layers.Dense(16, "relu"),
            layers.Dense(1),
        ]
    )
    measurer = EstimatedMeasurer(
        net, probe, options=Options(), directions=4, why="asked for", units="raw"
    )
    few = measurer.measure()[""]
    all_ = ExactMeasurer(net, probe, options=Options()).measure()[""]
    lines, known = few.segments, all_.segments
    for name in ("lengths", "standard_lengths"):
        np.testing.assert_allclose(getattr(lines, name), getattr(known, name), rtol=1e-6)
    # Half as many pieces: every second end, and the same integrals in sum, up to their errors.
    np.testing.assert_allclose(lines.slopes, known.slopes[:, ::2], atol=1e-5)  # float32
    pairs = known.curvature_integrals.reshape(len(known.lengths), -1, 2, 1).sum(axis=2)
    off = np.abs(lines.curvature_integrals - pairs)
    allowed = known.integration_errors.reshape(len(known.lengths), -1, 2, 1).sum(axis=2)
    assert np.mean(off <= lines.integration_errors + allowed + 1e-5) > 0.9  # not a bound
    for name, found in vars(measurer.over_scales({"": few})[""].multiscale).items():
        # What two graphs round in float32 has one size, and not one value.
        rtol = 0.5 if name == "single_noise" else 1e-7
        np.testing.assert_allclose(found, getattr(all_.multiscale, name), rtol=rtol, err_msg=name)


@pytest.mark.slow
def test_directions_too_many_to_keep_are_drawn_anew_and_are_the_same(monkeypatch):
    kept = estimates_at(PROBE[:50], directions=4)
    monkeypatch.setattr(estimated, "KEPT_DRAW", 0)
    anew = estimates_at(PROBE[:50], directions=4)
    for name in ("traces", "scale_traces", "squared_slopes"):
        np.testing.assert_allclose(getattr(anew, name), getattr(kept, name), rtol=1e-9)


def test_directions_look_normal_up_to_the_fourth_moment():
    drawn = np.sqrt(3) * sparse_rademacher([2_000], 5, tf.range(100)).numpy().reshape(-1).astype(
        float
    )
    moments = [np.mean(drawn**k) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.03)  # four standard errors
    assert abs(np.mean(drawn[1:] * drawn[:-1])) < 0.01


def conv(size, outputs=3):
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.Input((size, size, 1)), layers.Conv2D(4, 3, activation="silu"), layers.Flatten(),
         layers.Dense(outputs)]
    )  # fmt: skip
    net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return net


@pytest.mark.every(5)
@pytest.mark.parametrize(
    ("size", "directions", "kind", "said"),
    [
        (8, None, ExactMeasurer, "the whole Hessian"),
        (12, None, ExactMeasurer, "the Hessian's diagonal"),
        (28, None, EstimatedMeasurer, "would take about 2,352 forward passes"),
        (28, "all", ExactMeasurer, "the Hessian's diagonal"),
        (8, 3, EstimatedMeasurer, "3 random directions"),
    ],
)
def test_exact_where_affordable_and_as_asked(size, directions, kind, said):
    probe = make_probe(np.random.default_rng(0).uniform(size=(16, size, size, 1)))
    measurer = exact_or_estimated.measurer_for(
        conv(size), probe, options=Options(), directions=directions, units="raw", scale="auto",
        reference=None, names=None,
    )  # fmt: skip
    assert type(measurer) is kind
    assert said in " ".join(measurer.method())
    assert kind is ExactMeasurer or "Taylor propagation" in " ".join(measurer.method())


@pytest.mark.slow
def test_the_monitor_watches_images(tmp_path):
    net, rng = conv(24), np.random.default_rng(0)
    x, y = rng.uniform(size=(32, 24, 24, 1)).astype("float32"), np.arange(32) % 3
    monitor = kc.CurvatureMonitor(x, tmp_path, units="raw", freq=lambda epoch: True)
    fit = net.fit(x, y, epochs=2, verbose=0, callbacks=[monitor])
    history = monitor.history
    assert len(fit.history["curvature_mean"]) == 2
    assert np.all(np.array(history["rms"]) > 3 * np.array(history["rms_standard_error"]))
    assert {"p05", "max", "positive_fraction"}.isdisjoint(history)  # biased by noise
    # The same directions at every step: without training the numbers stay.
    again = untrained(net, x, steps=2, units="raw").history
    for name in again.keys() - {"step", "seconds"}:
        assert again[name][1] == pytest.approx(again[name][0], rel=1e-4, nan_ok=True)
    np.testing.assert_allclose(again["mean"][0], history["mean"][-1], rtol=1e-4)
    # And true: the exact Laplacian lies within their errors.
    exact = kc.laplacian(net, x).numpy()
    assert abs(exact.mean() - again["mean"][0]) < 4 * again["mean_standard_error"][0]
    hessian = kc.hessian(net, x[:4]).numpy().reshape(4, 3, 576, 576)
    norm = np.sqrt((hessian**2).sum(axis=(2, 3)).mean())
    np.testing.assert_allclose(again["rms"][0], norm, rtol=0.3)  # four points against 32
    lines: list[str] = []
    monitor.summary("all", print_fn=lines.append)
    assert "8 random directions" in lines[0]
    assert "mean_standard_error" in lines[0]
    for picture in ("shape", "distances"):
        for theme in ("light", "dark"):
            assert monitor.plot(picture=picture, theme=theme).axes


@pytest.mark.slow
def test_kinks_between_classes_are_not_blamed_on_the_activation():
    net = conv(8, 5)
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    said = {}
    for output in (None, "margin"):
        monitor = untrained(net, x, output=output, directions=4)
        said[output] = monitor.reports[""].verdict
    assert said[None].kind == "smooth"
    assert said["margin"].kind == "between classes"
    assert "another class comes to be the best" in said["margin"].sentence
    assert "SiLU" not in said["margin"].sentence


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"directions": 0}, ValueError),
        ({"directions": 2.5}, TypeError),
        ({"directions": "some"}, TypeError),
        ({"directions": True}, TypeError),
    ],
)
def test_directions_must_be_a_choice(arguments, error):
    with pytest.raises(error, match="directions"):
        kc.CurvatureMonitor(np.zeros((2, 3)), **arguments)


def test_known_second_derivatives_need_exact_ones():
    net = conv(28, 1)
    probe = np.random.default_rng(0).uniform(size=(4, 28, 28, 1))
    options = {
        "options": Options(), "units": "raw", "scale": "auto", "names": None,
        "reference": np.zeros((4, 1, 28, 28, 1)),
    }  # fmt: skip
    with pytest.raises(ValueError, match="Leave one of them out"):
        exact_or_estimated.measurer_for(net, make_probe(probe), directions=8, **options)
    assert isinstance(
        exact_or_estimated.measurer_for(net, make_probe(probe), directions=None, **options),
        ExactMeasurer,
    )
