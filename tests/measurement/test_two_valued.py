"""Inputs that have two values in the probe, against functions in closed form."""

import warnings

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.measurement.two_valued import ends
from keras_curvature.summaries import markdown, tab
from keras_curvature_page.packets import unpack
from watched import untrained

RNG = np.random.default_rng(0)
NUMBER = RNG.normal(size=50)
COIN = RNG.integers(0, 2, 50).astype(float)

COLUMNS = {
    "a number": (NUMBER, None),
    "zeros and ones": (COIN, (0, 1)),
    "any two values": (10 - 5 * COIN, (5, 10)),
    "three values": (RNG.integers(0, 3, 50), None),
    "one value": (np.ones(50), None),
    "whole numbers": (np.arange(50), None),
    "few points": (np.array([0.0, 1.0, 1.0]), None),
}


@pytest.mark.parametrize(("column", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_an_input_of_two_values_is_told_from_numbers(column, expected):
    found = ends(column[:, None].astype(float))
    np.testing.assert_array_equal(found, [(np.nan, np.nan) if expected is None else expected])


FORMULAS = {
    # What is asked of the second derivative at 0 and at 1 would be 6 and 600 times as much.
    "of any bend between the values": lambda b, x: 3 * b + 100 * b * (1 - b),
    "of the other inputs": lambda b, x: b * x**2 + x,
}


def made_of(formula, columns=2, given=2):
    x = keras.Input((columns,))
    split = keras.layers.Lambda(lambda x: formula(*(x[:, i : i + 1] for i in range(given))))
    return keras.Model(x, split(x))


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 3.0)])
def test_it_is_measured_by_the_change_of_the_output(formula, low, high):
    b, x = low + (high - low) * COIN, NUMBER
    probe = np.stack([b, x], axis=1)
    monitor = untrained(made_of(formula), probe, feature_names=["b", "x"], dtype="float64")
    report = monitor.reports[""]
    change = report.changes["b"]
    deviation = np.std(formula(b, x))
    expected = np.mean(np.abs(formula(high, x) - formula(low, x))) / deviation
    assert (change.start, change.end) == (low, high)
    assert change.size == pytest.approx(expected, rel=1e-6)
    assert np.isnan(report.features["b"])
    assert list(report.curved) == ["x"]
    assert change.way == f"from {low:g} to {high:g}"


@pytest.mark.parametrize("others", [3, 80], ids=["whole Hessian", "its diagonal"])
def test_the_change_is_a_mean_over_all_points_of_the_probe(others):
    """A heavy tail, of which a part of the points gives another mean."""
    rng = np.random.default_rng(0)
    b, x = rng.integers(0, 2, 300).astype(float), rng.exponential(size=300) ** 2
    probe = np.column_stack([b, x, rng.normal(size=(300, others - 1))])
    model = made_of(lambda b, x, c: b * x + c, 1 + others, 3)
    change = untrained(model, probe, dtype="float64").reports[""].changes["x0"]
    assert change.size == pytest.approx(x.mean() / np.std(b * x + probe[:, 2]), rel=1e-6)


# What a float64 model of Keras compares with is float32 on JAX.
@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.tensorflow)]
)
def test_the_model_is_given_these_very_values(dtype):
    """0.1 + (0.8 - 2 * 0.1) is not 0.7."""
    probe = np.stack([np.where(COIN, 0.7, 0.1), NUMBER], axis=1).astype(dtype)
    x = keras.Input((2,), dtype=dtype)
    very = keras.layers.Lambda(
        lambda x: keras.ops.cast(x[:, :1] == probe[:, 0].max(), dtype) + 0 * x[:, 1:], dtype=dtype
    )
    monitor = untrained(keras.Model(x, very(x)), probe, dtype=dtype, shape={0: "increasing"})
    report = monitor.reports[""]
    assert report.changes["x0"].size == pytest.approx(1 / COIN.std(), rel=1e-6)
    assert report.headline["shape_fraction"] == 1


@pytest.mark.slow
def test_joint_shape_is_that_of_the_numbers():
    """`b x²` and `b³ x` bend in b and x jointly; for either b they are convex in x."""
    probe = np.stack([COIN, NUMBER], axis=1)
    detail = untrained(made_of(lambda b, x: b * x**2 - b**3 * x), probe).reports[""].detail
    assert detail["joint_convex_fraction"] == 1
    assert detail["joint_concave_fraction"] == pytest.approx(np.mean(COIN == 0))
    assert detail["joint_convexity_violation"] == 0
    none = untrained(made_of(lambda b, c: b * c), np.stack([COIN, COIN[::-1]], axis=1))
    assert np.isnan(none.reports[""].detail["joint_convex_fraction"])


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 3.0)])
def test_what_it_does_together_with_a_number_is_the_change_of_the_slope(low, high):
    """Of `c (1 − c) x² + c x²` the mixed derivative at the values is not that over the way."""
    probe = np.stack([low + (high - low) * COIN, NUMBER], axis=1)

    def formula(b, x):
        c = (b - low) / (high - low)
        return c * (1 - c) * x**2 + c * x**2

    model = made_of(formula)
    report = untrained(model, probe, feature_names=["b", "x"], dtype="float64").reports[""]
    standard = COIN.std() * NUMBER.std() / np.std(COIN * NUMBER**2)
    expected = np.mean(np.abs(2 * NUMBER)) * standard
    assert report.pairs["b", "x"] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(report.interactions[0, 0])


def test_two_of_them_have_no_second_derivative_together():
    probe = np.stack([COIN, COIN[::-1], NUMBER], axis=1)
    report = untrained(made_of(lambda b, c: b * c, 3), probe).reports[""]
    assert list(report.changes) == ["x0", "x1"]
    np.testing.assert_array_equal(np.isnan(report.interactions[:2, :2]), True)
    assert list(report.pairs) == [("x0", "x2"), ("x1", "x2")]


def test_units_do_not_matter_to_what_is_in_deviations():
    probe = np.stack([10 - 5 * COIN, NUMBER], axis=1)
    model = made_of(lambda b, x: b * x**2)
    raw, std = (
        untrained(model, probe, units=u, dtype="float64").reports[""] for u in ("raw", "std")
    )
    assert raw.changes["x0"].size == pytest.approx(std.changes["x0"].size)
    np.testing.assert_allclose(raw.interactions, std.interactions)


@pytest.mark.slow
def test_an_input_that_does_not_vary_has_no_weight_beside_it():
    probe = np.stack([COIN, NUMBER, np.ones(50)], axis=1)
    three, two = (untrained(f, z, dtype="float64").reports[""] for f, z in (
        (made_of(lambda b, x, c: b * x**2 + b * c**2, 3, 3), probe),
        (made_of(lambda b, x: b * x**2 + b), probe[:, :2]),
    ))  # fmt: skip
    assert three.pairs["x0", "x2"] == 0
    assert three.pairs["x0", "x1"] == pytest.approx(two.pairs["x0", "x1"])


@pytest.mark.slow
def test_columns_of_several_have_their_change_too():
    probe = np.stack([COIN, NUMBER, RNG.normal(size=50)], axis=1)
    every, one = (
        untrained(made_of(lambda b, x, c: b * x + c, 3, 3), probe, columns=columns)
        for columns in (None, [0])
    )
    assert one.reports[""].changes["x0"].size == pytest.approx(every.reports[""].changes["x0"].size)
    assert {name for name in one.history if "/" in name} == {"change/x0"}


def test_several_outputs_have_the_mean_of_their_changes():
    x = keras.Input((2,))
    both = keras.layers.Lambda(lambda x: keras.ops.concatenate([x[:, :1], 3 * x[:, :1]], axis=1))
    probe = np.stack([COIN, NUMBER], axis=1)
    change = untrained(keras.Model(x, both(x)), probe).reports[""].changes["x0"]
    assert change.size == pytest.approx(1 / COIN.std(), rel=1e-5)  # each in its own deviation


def test_history_and_text_list_it_apart():
    probe = np.stack([COIN, NUMBER], axis=1)
    monitor = untrained(made_of(lambda b, x: 2 * b + x**2), probe, feature_names=["sex", "age"])
    assert {"feature/age", "change/sex"} <= monitor.history.keys()
    assert "feature/sex" not in monitor.history
    chosen = monitor.reports.numbers(["change/sex", "feature/sex"])
    assert list(chosen) == ["change/sex"]  # as `logs=` chooses
    text = str(monitor.reports[""])
    apart = text.split("along each input of two values")[1]
    assert "sex" in apart.split("\n\n")[0]
    assert "from 0 to 1" in apart
    numbers = text.partition("Mean |second derivative|")[2].partition("\n\n")[0]
    assert "age" in numbers
    assert "sex" not in numbers
    assert "|mixed second derivative|, σy/σx²; averaged over the way between two" in text
    assert any("Two values in the probe have sex" in said for said in monitor.reports[""].method)


@pytest.mark.slow
def test_it_is_said_how_many_points_have_either_value_and_where_that_is_few():
    rare, x = (np.arange(400) == 7) * 1.0, np.linspace(-1, 1, 400)
    probe = np.stack([rare, np.arange(400) % 2, x, x**2], axis=1)
    model = made_of(lambda a, b, c, d: a + b + c**2 + d**2, 4, 4)
    monitor = untrained(model, probe, feature_names=["rare", "even", "c", "d"])
    report = monitor.reports[""]
    assert report.changes["rare"].points == (399, 1)
    for shown in (" ".join(str(report).split()), markdown.of_report(report)):
        assert "399 points at 0, only 1 at 1: few to tell what it does" in shown
        assert "200 points at 0, 200 at 1" in shown
    drawn = [text.get_text() for axes in monitor.plot().axes for text in axes.texts]
    assert sum("(only 1 of 400 points at 1)" in text for text in drawn) == 1
    header, _ = unpack(tab.step_packet(report, monitor._found.measurements[""]))
    assert "only 1 at 1" in header["counts"][header["changes"].index("rare")]


def test_the_headline_is_of_all_inputs_as_the_functions_are():
    probe = np.stack([COIN, NUMBER], axis=1)
    model = made_of(lambda b, x: 7 * b**2 + x**2)
    mean = untrained(model, probe, units="raw").history["mean"][0]
    assert mean == pytest.approx(float(keras.ops.mean(kc.laplacian(model, probe))))
    assert mean == pytest.approx(16)


def test_pixels_of_two_values_stay_pixels():
    x = keras.Input((4, 4))
    model = keras.Model(x, keras.layers.Lambda(lambda x: keras.ops.sum(x**2, axis=(1, 2)))(x))
    report = untrained(model, RNG.integers(0, 2, (20, 4, 4)).astype("float32")).reports[""]
    assert not report.changes
    assert np.isfinite(list(report.features.values())).all()


def test_a_scale_that_is_wider_than_the_probe_is_told_of():
    """But of an input of two values, which no window fits, and of one that does not vary."""
    probe = np.stack([NUMBER, COIN, np.ones_like(COIN)], axis=1)
    model = made_of(lambda a, b: a**2 + b, 3)
    wide = 0.51 * np.ptp(NUMBER)
    with pytest.warns(UserWarning, match=r"wider than the probe: of input 0 .* its range of \S+\."):
        untrained(model, probe, scale=[wide, 5.0, 5.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        untrained(model, probe, scale=[0.49 * np.ptp(NUMBER), 5.0, 5.0])
