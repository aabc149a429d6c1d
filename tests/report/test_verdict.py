"""The sentence that says what is going on, on networks where the answer is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_curvature.engines.options import Options
from keras_curvature.measurement.exact import ExactMeasurer
from keras_curvature.measurement.probe import make_probe
from keras_curvature.measurement.statistics import unlearned
from keras_curvature.report.verdict import WORTH_LEARNING, verdict

X = np.linspace(-1, 1, 64).astype("float32")[:, None]
NOISE = 2 * np.random.default_rng(0).normal(size=X.shape)


def model_of(function, width=1):
    return keras.Sequential([keras.Input((width,)), keras.layers.Lambda(function)])


def hat(x):
    """Piecewise linear with its curvature in five kinks."""
    return tf.add_n([tf.nn.relu(x - k) for k in (-0.8, -0.4, 0.0, 0.4, 0.8)])


CASES = {
    "smooth": (lambda x: x**2, lambda x: x**2),
    "smooth, at the noise": (lambda x: x**2, lambda x: x**2 + NOISE / 20),  # R² of 0.9
    "smooth, in much noise": (lambda x: x**2, lambda x: x**2 + NOISE / 5),
    "poor fit, unfinished": (lambda x: 0.3 * x**2 + 0.23, lambda x: x**2),  # R² of 0.5
    "poor fit, in noise": (lambda x: 0.3 * x**2 + 0.23, lambda x: x**2 + NOISE / 20),
    "poor fit, worse than a constant": (lambda x: x**2, lambda x: NOISE),
    "poor fit": (lambda x: x**2, lambda x: np.sin(9 * x)),
    "piecewise linear": (hat, None),
    "partly hidden": (lambda x: 4 * x**2 + 0.25 * hat(x), None),
    "unresolved": (lambda x: tf.sin(1000 * x), None),  # many waves between two points
    "straight": (lambda x: 3 * x + 1, None),
    "still straight": (lambda x: 0.5 * x, lambda x: x**2),
    "linear": (lambda x: 3 * x, lambda x: 3 * x),
    "straight, in noise": (lambda x: 3 * x, lambda x: 3 * x + NOISE),
    "disconnected": (lambda x: tf.zeros_like(x), None),
    "stopped": (lambda x: tf.stop_gradient(x) ** 2, None),
    "not finite": (lambda x: x**2 * np.nan, None),
}


@pytest.mark.every(9)
@pytest.mark.parametrize("kind", CASES)
def test_verdict(kind):
    function, truth = CASES[kind]
    probe = X if truth is None else (X, truth(X))
    measurer = ExactMeasurer(model_of(function), make_probe(probe), options=Options())
    found = verdict(measurer.measure()[""], measurer.f.activity)
    assert found.kind == kind.partition(",")[0], found.sentence
    assert found.sentence.endswith(".")


def said(model, probe, reference=None, units="auto"):
    measurer = ExactMeasurer(
        model_of(model), make_probe(probe), options=Options(), reference=reference, units=units
    )
    measured = measurer.measure()[""]
    return verdict(measured, measurer.f.activity, units=measurer.units).sentence


def test_a_smooth_fit_says_that_derivatives_are_the_model_s_and_what_would_check_them():
    sentence = said(lambda x: x**2, (X, X**2))
    assert "the model's exact second derivative" in sentence
    assert "A fit of values does not fix derivatives: reference=" in sentence
    assert "DerivativeOutput" in sentence


def columns(count, n=256):
    """Points of so many columns, of which the first two count, and what is known of y there."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, count))
    y = np.sin(2 * x[:, :1]) + x[:, -1:] ** 2 / 2
    return x, (y - y.mean()) / y.std() + 0.3 * rng.normal(size=y.shape)


@pytest.mark.parametrize(("count", "known"), [(2, True), (25, False)])
def test_where_neighbours_are_too_far_to_tell_it_says_so(count, known):
    """Both are at the ceiling of the noise, which among 25 columns nothing tells."""
    x, y = columns(count)
    net = model_of(lambda x: keras.ops.sin(2 * x[:, :1]) + x[:, -1:] ** 2 / 2 - 0.5, count)
    measurer = ExactMeasurer(net, make_probe((x, y)), options=Options())
    found = verdict(measurer.measure()[""], measurer.f.activity)
    assert found.kind == "smooth"
    assert ("noise or still to be learned is not known" not in found.sentence) == known


def test_among_many_columns_a_good_fit_says_nothing_of_noise():
    x, _ = columns(25)
    net = model_of(lambda x: keras.ops.sin(2 * x[:, :1]) + x[:, -1:] ** 2 / 2, 25)
    measurer = ExactMeasurer(net, make_probe((x, np.asarray(net(x)))), options=Options())
    assert "not known" not in verdict(measurer.measure()[""], measurer.f.activity).sentence


@pytest.mark.parametrize(("units", "off"), [("raw", 1.0), ("std", X.var() / (X**2).std())])
def test_with_known_ones_it_says_how_far_off_they_are_and_in_which_unit(units, off):
    unit = {"raw": "y/x²", "std": "σy/σx²"}[units]
    sentence = said(lambda x: x**2, (X, X**2), np.full((64, 1, 1), 3.0), units)
    assert f"off by reference_rmse ({off:.3g} {unit})" in sentence
    assert "does not fix" not in sentence


KNOWN = np.full((64, 1, 1), 3.0)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("piecewise linear", "scale_reference_rmse"),
        ("partly hidden", "scale_reference_rmse"),
        ("poor fit", "reference_rmse"),
        ("unresolved", "reference_rmse"),
        ("straight", "reference_rmse"),
    ],
)
def test_every_verdict_says_how_far_off_the_known_ones_what_it_says_to_read_is(kind, name):
    function, truth = CASES[kind]
    probe = X if truth is None else (X, truth(X))
    measurer = ExactMeasurer(
        model_of(function), make_probe(probe), options=Options(), reference=KNOWN, units="raw"
    )
    measured = measurer.measure()[""]
    found = verdict(measured, measurer.f.activity)
    assert found.kind == kind
    off = measured.reference_errors()[name]
    relative = f"({off:.3g} y/x²), {off / 3:.2g} of their root mean square."
    assert f"From the known second derivatives it is off by {name} {relative}" in found.sentence


def test_known_ones_that_are_0_have_no_size_to_compare_with():
    sentence = said(lambda x: x**2, (X, X**2), np.zeros((64, 1, 1)), "raw")
    assert "it is off by reference_rmse (2 y/x²)." in sentence


RELU_FITS = {
    "noise or to be learned: not known": (25, 0.0, "noise or still to be learned is not known"),
    "to be learned": (1, 1.0, "errors are alike, so that they are not noise: R² can reach"),
}


@pytest.mark.parametrize("case", RELU_FITS)
def test_what_has_kinks_says_as_much_of_the_rest_of_y_as_what_is_smooth(case):
    count, missed, words = RELU_FITS[case]
    x, _ = columns(count)
    rest = np.random.default_rng(1).normal(size=(len(x), 1)) * (1 - missed)
    y = np.abs(x[:, :1]) + 0.5 * rest + missed * np.sin(2 * x[:, :1])
    net = model_of(lambda x: keras.ops.absolute(x[:, :1]), count)
    measurer = ExactMeasurer(net, make_probe((x, y)), options=Options())
    found = verdict(measurer.measure()[""], measurer.f.activity)
    assert found.kind == "piecewise linear"
    assert words in found.sentence


def test_few_points_are_said_to_say_little():
    few, enough = (said(lambda x: x**2, np.linspace(-1, 1, n)[:, None]) for n in (2, 10))
    assert "2 points say little of what lies between and beyond them: give 10 or more." in few
    assert "say little" not in enough


def test_numbers_in_a_verdict_are_those_of_the_report():
    wide = (1000 * X, hat(X))
    sentence = said(lambda x: hat(x / 1000), wide, units="std")
    assert f"scale_mean ({said_of(wide):.3g} σy/σx²)" in sentence


def said_of(probe):
    """The mean of `f(x + h) - 2 f(x) + f(x - h)` over `h²` where windows are inside."""
    x = probe[0].astype(float)
    h = x.std() / 4
    inside = x[np.abs(x) <= x.max() - h]
    f = lambda x: np.asarray(hat(x / 1000))  # noqa: E731
    change = f(inside + h) - 2 * f(inside) + f(inside - h)
    return change.mean() / h**2 * x.var() / f(x).std()


@pytest.mark.parametrize("d", [1, 3, 30])
@pytest.mark.parametrize("n", [10, 20, 100, 2000])
def test_noise_is_not_called_unlearned_and_what_neighbours_share_is(n, d):
    """Half of the variance is noise, the other half is not learned by a model that is 0."""
    rng = np.random.default_rng(n * d)
    draws = 10 if n == 2000 else 100
    at_the_noise, unfinished = np.empty((2, draws))
    for i in range(draws):
        x = rng.uniform(-2, 2, size=(n, d))
        known = np.sin(x[:, :1])
        y = known + rng.normal(size=(n, 1)) * known.std()
        at_the_noise[i], unfinished[i] = unlearned(x, known, y), unlearned(x, 0 * known, y)
    # Two standard errors: one draw in fifty or fewer looks like more by chance; here six at most.
    assert np.mean(at_the_noise >= WORTH_LEARNING) <= 0.06
    assert unfinished.mean() < 0.5  # at least so much is left, never more
    if (n, d) in ((100, 1), (2000, 1), (2000, 3)):
        assert np.mean(unfinished > WORTH_LEARNING) > 0.95
    if n == 10:
        assert unfinished.max() < 0  # too few to tell


def test_an_output_that_is_not_learned_is_not_hidden_by_a_larger_one():
    """Pooled, R² is 0.999998 here; the mean of that of each is a half."""
    function = lambda x: tf.concat([1000 * x**2, 0 * x], axis=1)  # noqa: E731
    known = np.hstack([1000 * X**2, np.sin(4 * X)])
    measurer = ExactMeasurer(model_of(function), make_probe((X, known)), options=Options())
    found = verdict(measurer.measure()[""], measurer.f.activity)
    assert found.kind == "poor fit"
    assert "(R² 0.500 on the probe)" in found.sentence


def test_a_line_worse_than_a_constant_says_nothing_of_the_data():
    measurer = ExactMeasurer(
        model_of(lambda x: 1 - 3 * x), make_probe((X, 3 * X)), options=Options()
    )
    found = verdict(measurer.measure()[""], measurer.f.activity)
    assert (found.kind, "worse than a constant" in found.sentence) == ("straight", True)


@pytest.mark.parametrize("x", [X[:1], np.repeat(X[:1], 5, axis=0)], ids=["one", "the same"])
def test_of_one_point_nothing_is_said_of_what_lies_between(x):
    measurer = ExactMeasurer(model_of(lambda x: x**2), make_probe(x), options=Options())
    measurement = measurer.measure()[""]
    assert verdict(measurement, measurer.f.activity).kind == "one point"
    numbers = measurement.headline()
    assert numbers["mean"] == pytest.approx(2)
    assert np.isnan([numbers["slope_change"], numbers["hidden_fraction"]]).all()


def test_the_sentence_names_the_layer_that_stops_the_derivative():
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Lambda(lambda x: tf.stop_gradient(x) ** 2, name="frozen"),
        ]
    )
    measurer = ExactMeasurer(model, make_probe(X), options=Options())
    assert (
        "StopGradient in layer 'frozen'"
        in verdict(measurer.measure()[""], measurer.f.activity).sentence
    )


@pytest.mark.slow
def test_a_standard_deviation_is_the_measure_of_straightness():
    """The verdict is the same whatever the units of x and y."""
    kinds = []
    for stretch, tall in ((1.0, 1.0), (1e3, 1e-3), (1e-3, 1e3)):
        model = model_of(lambda x, stretch=stretch, tall=tall: tall * (x / stretch) ** 2)
        measurer = ExactMeasurer(model, make_probe(X * stretch), options=Options())
        kinds.append(verdict(measurer.measure()[""], measurer.f.activity).kind)
    assert kinds == ["smooth"] * 3


def test_a_column_of_little_weight_is_judged_by_what_it_makes_of_the_output_itself():
    """`100 x₀ + x₁²` bends along the second input as much as a parabola can."""
    x = np.random.default_rng(0).uniform(-1, 1, (64, 2))
    model = model_of(lambda x: 100 * x[:, :1] + x[:, 1:] ** 2, width=2)
    options = Options(columns=[1])
    measurer = ExactMeasurer(model, make_probe((x, np.asarray(model(x)))), options=options)
    found = verdict(measurer.measure()[""], measurer.f.activity)
    assert found.kind == "smooth", found.sentence
