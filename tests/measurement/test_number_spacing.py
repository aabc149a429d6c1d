"""Inputs of which float32 has few numbers: what is rounding, and what the model is given."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.measurement import number_spacing
from keras_curvature.report.metrics import LOW_DIGITS

RNG = np.random.default_rng(0)
N = 200

COLUMNS = {
    "nearly constant": 3 + 1e-6 * RNG.normal(size=N),
    "unix time": 1.7e9 + 2000 * RNG.normal(size=N),
    "temperature": 300 + 8 * RNG.normal(size=N),
    "rare": np.arange(N) % 100 == 0,
}
COARSE = ("nearly constant", "unix time")


def table(column, dtype="float64"):
    others = np.random.default_rng(1).normal(size=(N, 2))
    return np.column_stack([others, COLUMNS[column]]).astype(dtype)


def network(x, *activations):
    """Of inputs in standard deviations; one output for each activation."""
    x = x.astype("float64")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    scale = keras.layers.Normalization(mean=x.mean(axis=0), variance=x.var(axis=0))
    scaled = scale(inputs)
    outputs = {
        name: keras.layers.Dense(1)(keras.layers.Dense(16, name)(scaled))
        for name in activations or ["silu"]
    }
    return keras.Model(inputs, outputs if activations else outputs["silu"])


def measured(model, x, **options):
    (report,) = kc.CurvatureMonitor(x, **options).measure(model).values()
    return report


@pytest.mark.slow
@pytest.mark.parametrize("directions", ["all", 4])
@pytest.mark.parametrize("column", COLUMNS)
def test_rounding_of_places_is_in_no_number(column, directions):
    """Float64 at the same points is the truth; of a smooth network nothing is hidden."""
    x = table(column, "float32")
    model = network(x, "silu", "relu")
    found, true = (
        kc.CurvatureMonitor(x, directions=directions, dtype=dtype).measure(model)
        for dtype in (None, "float64")
    )
    for name, share in (("silu", 0), ("relu", 1)):
        own, exact = found[name].scalars, true[name].scalars
        assert own["hidden_fraction"] == pytest.approx(share, abs=1e-6)
        for number in ("slope_change", "scale_mean", "scale_rms"):
            assert own[number] == pytest.approx(exact[number], rel=1e-3), (name, number)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_digits_are_those_at_the_points_that_the_model_is_given(dtype):
    """Between those of the table, a minute apart, derivatives differ in their second digit."""
    x = table("unix time", dtype)
    for directions in ("all", 4):
        report = measured(network(x), x, directions=directions)
        assert report.scalars["digits"] > 5
        assert "digits of the second" not in report.verdict.sentence


@pytest.mark.every(4)
@pytest.mark.parametrize("dtype", [None, "float64"])
@pytest.mark.parametrize("column", COLUMNS)
def test_the_verdict_names_the_column_that_reaches_the_model_rounded(column, dtype):
    x = table(column)
    names = ["a", "b", "when"]
    said = measured(network(x), x, feature_names=names, dtype=dtype).verdict.sentence
    assert ("when reaches the model rounded" in said) == (column in COARSE)
    assert "a reaches" not in said


@pytest.mark.slow
def test_what_it_advises_helps():
    """Without its mean the column has all of its numbers, and the same shape."""
    x = table("unix time")
    moved = x - [0, 0, 1.7e9]
    said = measured(network(moved), moved).verdict.sentence
    assert "reaches the model rounded" not in said
    assert measured(network(moved), moved).scalars["digits"] > LOW_DIGITS
    exact = measured(network(x), x, dtype="float64").scalars["rms"]
    centred = measured(network(moved), moved).scalars["rms"]
    # Keras keeps the mean of the one in float32: it is off by a fraction of a deviation.
    assert centred == pytest.approx(exact, rel=0.05)


@pytest.mark.slow
def test_diagnosis_and_verification_look_at_the_points_that_the_model_is_given():
    for dtype in ("float64", "int64"):
        x = table("unix time", dtype)
        model = network(x)
        assert kc.verify(model, x).ok
        assert kc.diagnose(model, x).healthy


def test_spacing_is_that_of_the_dtype():
    points = np.column_stack([COLUMNS["unix time"], COLUMNS["nearly constant"], np.full(N, 7.0)])
    spread = np.where(np.ptp(points, axis=0) > 0, points.std(axis=0), 1.0)
    found = number_spacing.spacing(points, spread, np.finfo("float32").eps)
    apart = np.spacing(points.max(axis=0).astype("float32"))[:2]
    np.testing.assert_allclose(
        found[:2], apart / np.maximum(spread, np.ptp(points, axis=0) / 4)[:2]
    )
    assert found[2] == 0
