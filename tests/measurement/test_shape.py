"""Shape along single inputs: against functions whose signs are known, with kinks and without."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc
from watched import untrained

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(200, 2))
LOW, HIGH = X.min(axis=0), X.max(axis=0)


def of(formula, inputs=2, **options):
    x = keras.Input((inputs,), dtype="float64")
    return keras.Model(x, layers.Lambda(formula, dtype="float64")(x))


def shape_of(model, shape, probe=X, **options):
    (report,) = untrained(model, probe, shape=shape, **options).reports.values()
    return {(entry.input, entry.word): entry for entry in report.shape}, report


def a(x):
    return x[:, :1]


def b(x):
    return x[:, 1:2]


WORDS = ("increasing", "decreasing", "convex", "concave", "linear")
KNOWN = {
    # Share of the probe where the derivative along the first input has the sign of each word.
    "square": (lambda x: a(x) ** 2 + b(x) ** 3, [None, None, 1, 0, 0]),
    "cube": (lambda x: a(x) ** 3, [1, 0, np.mean(X[:, 0] > 0), np.mean(X[:, 0] < 0), None]),
    "exponential": (lambda x: ops.exp(-a(x)) * ops.exp(b(x)), [0, 1, 1, 0, 0]),
    "product": (lambda x: a(x) * b(x), [np.mean(X[:, 1] > 0), np.mean(X[:, 1] < 0), 1, 1, 1]),
    "constant": (lambda x: b(x), [1, 1, 1, 1, 1]),
    "absolute": (lambda x: ops.abs(a(x)), [None, None, 1, None, None]),
    "stairs": (lambda x: ops.floor(10 * a(x)) - a(x), [0, 0, None, None, None]),
}
"""Where a difference over the window decides and its share is another, `None`."""


@pytest.mark.every(9)
@pytest.mark.parametrize("case", KNOWN)
@pytest.mark.parametrize("directions", [None, 2], ids=["exact", "estimated"])
def test_shares_are_those_of_the_signs(case, directions):
    formula, shares = KNOWN[case]
    found, report = shape_of(of(formula), {0: WORDS}, directions=directions)
    for word, share in zip(WORDS, shares, strict=True):
        if share is not None:
            assert found["x0", word].fraction == share, word
    assert report.headline["shape_fraction"] <= min(entry.fraction for entry in found.values())


def test_the_worst_violation_is_where_it_is():
    """Of x³ + 5 y the second derivative is 6 x, over a window too."""
    x = np.vstack([X, [[-1.5, 0.25]]])
    found, report = shape_of(of(lambda x: a(x) ** 3 + 5 * b(x)), {"x0": "convex"}, x, units="raw")
    worst = found["x0", "convex"]
    assert worst.worst_violation == pytest.approx(9, rel=1e-9)
    assert worst.at == {"x0": -1.5, "x1": 0.25}
    assert worst.point == len(X)
    assert str(worst).endswith("worst: off by 9 y/x², at x0 -1.5 and x1 0.25")
    assert str(worst) in " ".join(str(report).split())


@pytest.mark.parametrize(("word", "order"), [("decreasing", 1), ("concave", 2)])
def test_violations_are_in_the_units_of_the_report(word, order):
    """Of eˣ in thousandths of x and thousands of y."""
    per = {"raw": 1000 * 1000**order, "std": None}
    x = X / 1000
    net = of(lambda x: 1000 * ops.exp(1000 * a(x)))
    for units, factor in per.items():
        found, _ = shape_of(net, {0: word}, x, units=units)
        spread = x[:, 0].std() ** order / (1000 * np.exp(1000 * x[:, 0])).std()
        wanted = np.exp(X[:, 0].max()) * 1000 * 1000**order
        entry = found["x0", word]
        assert entry.fraction == 0
        assert entry.worst_violation == pytest.approx(
            wanted if factor else wanted * spread, rel=1e-6
        )
        assert entry.unit == {
            ("raw", 1): "y/x", ("raw", 2): "y/x²", ("std", 1): "σy/σx", ("std", 2): "σy/σx²"
        }[units, order]  # fmt: skip


def kinked(sign, offset=0.0):
    """A ReLU network through `sign * x²` at steps of a twentieth, plus an offset."""
    knots = np.arange(-1, 1, 0.05)
    net = keras.Sequential([keras.Input((1,)), layers.Dense(len(knots), "relu"), layers.Dense(1)])
    slopes = np.diff(np.append(knots, 1) ** 2) / 0.05
    jumps = np.diff(slopes, prepend=0)[:, None]
    net.set_weights([np.ones((1, len(knots))), -knots, sign * jumps, np.array([sign + offset])])
    return net


LINE = np.linspace(-1, 1, 101)[:, None]


@pytest.mark.parametrize("offset", [0.0, 1e4], ids=["", "far from 0"])
def test_kinks_do_not_pass_for_a_shape(offset):
    net = kinked(-1, offset)
    value = keras.ops.convert_to_numpy(net(LINE[::5]))[:, 0] - offset
    np.testing.assert_allclose(value, -(LINE[::5, 0] ** 2), atol=1e-2)
    found, report = shape_of(net, {0: ("convex", "concave")}, LINE)
    assert found["x", "convex"].fraction == 0
    assert found["x", "concave"].fraction == 1
    # The mean second derivative is -2; over a window of 0.15 a kink more or less counts.
    assert 2 < found["x", "convex"].worst_violation < 3
    joint = ("joint_convex_fraction", "joint_concave_fraction", "joint_convexity_violation")
    assert np.isnan([report.detail[name] for name in joint]).all()


def test_the_joint_numbers_are_there_where_nothing_is_hidden():
    _, report = shape_of(of(lambda x: a(x) ** 2 + b(x) ** 2), {0: "convex"})
    assert report.detail["joint_convex_fraction"] == 1
    assert report.detail["joint_convexity_violation"] == 0


@pytest.mark.parametrize("probe", [LINE[50:51], np.zeros((9, 1))], ids=["one point", "one place"])
def test_one_place_is_looked_at_over_a_window_too(probe):
    found, report = shape_of(kinked(-1), {0: "convex"}, probe, scale=0.2)
    assert found["x", "convex"].fraction == 0
    assert np.isnan(report.detail["joint_convex_fraction"])


def test_windows_stay_inside_the_range():
    """Where the function is not a number outside of the data, or bends the other way there."""
    net = of(lambda x: ops.where(ops.abs(x) <= 1, x**2, float("nan") * x), inputs=1)
    found, _ = shape_of(net, {0: "convex"}, LINE)
    assert found["x", "convex"].fraction == 1


@pytest.mark.slow
def test_what_is_not_a_number_does_not_pass():
    found, report = shape_of(of(lambda x: ops.sqrt(x), inputs=1), {0: "increasing"}, LINE)
    # Half of the points, and those whose windows reach there.
    assert 0.3 < found["x", "increasing"].fraction < 0.5
    assert found["x", "increasing"].worst_violation == 0
    nothing, _ = shape_of(of(lambda x: float("nan") * x, inputs=1), {0: "convex"}, LINE)
    assert nothing["x", "convex"].fraction == 0
    assert np.isnan(nothing["x", "convex"].worst_violation)
    assert report.headline["shape_fraction"] == found["x", "increasing"].fraction


@pytest.mark.slow
def test_true_prices_keep_the_shape_of_prices():
    """Jointly they are convex almost nowhere."""
    x = np.stack([RNG.uniform(0.6, 1.5, 500), RNG.uniform(0.1, 2, 500)], axis=1)

    def price(x):
        strike, width = a(x), 0.25 * ops.sqrt(b(x))
        d = -ops.log(strike) / width + width / 2
        normal = lambda z: (1 + ops.erf(z / np.sqrt(2))) / 2  # noqa: E731
        return normal(d) - strike * normal(d - width)

    asked = {"strike": ("convex", "decreasing"), "maturity": "increasing"}
    _, report = shape_of(of(price), asked, x, feature_names=["strike", "maturity"])
    assert report.headline["shape_fraction"] == 1
    assert report.detail["joint_convex_fraction"] < 0.05


@pytest.mark.slow
def test_each_output_has_its_own_and_every_entry_counts():
    x = keras.Input((2,), name="x")
    up, both = x**2, ops.concatenate([x[:, :1] ** 2, -x[:, :1]], axis=1)
    model = keras.Model(x, {"up": up, "both": both})
    monitor = untrained(model, X, shape={0: ("convex", "increasing")})
    fractions = {
        name: [entry.fraction for entry in report.shape] for name, report in monitor.reports.items()
    }
    assert fractions["both"] == [1, 0]  # -x is not increasing anywhere
    assert fractions["up"][0] == 1
    assert monitor.history["both_shape_fraction"] == [0]
    assert monitor.history["both_shape/x0_convex_fraction"] == [1]


COIN = RNG.integers(0, 2, 200)
FROM_ONE_TO_THE_OTHER = {
    # Change from 0 to 1 of the second input, where the first is x.
    "alike everywhere": (lambda x, b: x + 2 * b**2 - 0.5 * b, lambda x: 1.5 + 0 * x),
    "of either sign": (lambda x, b: x**2 + x * b + 9 * b * (1 - b), lambda x: x),
    "none": (lambda x, b: x + b * (1 - b), lambda x: 0 * x),
    "far from 0": (lambda x, b: 1e6 + x - b, lambda x: 0 * x - 1),
}


@pytest.mark.every(9)
@pytest.mark.parametrize("case", FROM_ONE_TO_THE_OTHER)
@pytest.mark.parametrize("directions", [None, 2], ids=["exact", "estimated"])
@pytest.mark.parametrize("units", ["raw", "std"])
def test_of_two_values_the_change_from_one_to_the_other_decides(case, directions, units):
    formula, change = FROM_ONE_TO_THE_OTHER[case]
    x = np.stack([X[:, 0], COIN], axis=1)
    asked = {"x1": ("increasing", "decreasing")}
    model = of(lambda x: formula(a(x), b(x)))
    found, _ = shape_of(model, asked, x, directions=directions, units=units)
    changes = change(x[:, 0])
    unit = np.std(formula(*x.T)) if units == "std" else 1
    for word, up in (("increasing", 1), ("decreasing", -1)):
        entry = found["x1", word]
        assert entry.fraction == np.mean(up * changes >= 0), word
        worst = (-up * changes).max()
        assert entry.worst_violation == pytest.approx(max(0, worst) / unit, rel=1e-6), word
        assert entry.unit == {"raw": "y", "std": "σy"}[units]
        if np.ptp(changes) and worst > 0:
            assert entry.point == (-up * changes).argmax()
            at = {"x0": x[entry.point, 0], "x1": COIN[entry.point]}
            assert entry.at == pytest.approx(at, rel=1e-6)


@pytest.mark.parametrize("word", ["convex", "concave", "linear"])
@pytest.mark.parametrize("directions", [None, 2], ids=["exact", "estimated"])
def test_a_bend_between_two_values_is_refused_before_the_training(word, directions):
    x = np.stack([X[:, 0], COIN], axis=1)
    model = of(lambda x: a(x) + b(x))
    monitor = kc.CurvatureMonitor(x, shape={"x1": word}, directions=directions)
    monitor.set_model(model)
    with pytest.raises(ValueError, match=f"nothing bends. Received: '{word}' for 'x1', .* 0 or 1 "):
        monitor.on_train_begin()


NAMED = {
    "index": ({1: "convex"}, {}, "x1"),
    "from the end": ({-1: "convex"}, {}, "x1"),
    "own name": ({"x1": "convex"}, {}, "x1"),
    "given name": ({"K": "convex"}, {"feature_names": ["S", "K"]}, "K"),
}


@pytest.mark.parametrize("case", NAMED)
def test_inputs_go_by_name_or_index(case):
    shape, options, name = NAMED[case]
    found, _ = shape_of(of(lambda x: b(x) ** 2 - a(x) ** 2), shape, **options)
    assert found[name, "convex"].fraction == 1


@pytest.mark.slow
def test_inputs_of_a_dict_and_a_single_one_go_by_their_own_names():
    inputs = {name: keras.Input((1,), name=name) for name in ("strike", "spot")}
    model = keras.Model(inputs, inputs["spot"] ** 2 - inputs["strike"] ** 2)
    probe = {"strike": X[:, :1], "spot": X[:, 1:]}
    found, _ = shape_of(model, {"spot": "convex", "strike": "concave"}, probe)
    assert [entry.fraction for entry in found.values()] == [1, 1]
    strike = keras.Input((1,), name="strike")
    found, _ = shape_of(keras.Model(strike, strike**2), {"strike": ("convex", "linear")}, LINE)
    assert found["strike", "convex"].fraction == 1
    assert set(found["strike", "linear"].at) == {"strike"}


def test_outputs_of_a_layer_have_the_range_that_they_have_now():
    """Their windows are moved into it, however far training has carried them."""
    first = layers.Dense(1, name="first", kernel_initializer="ones", dtype="float64")
    last = layers.Lambda(lambda x: ops.where(x > 5, x**2, -(x**2)), dtype="float64")
    model = keras.Sequential([keras.Input((1,)), first, last])
    monitor = untrained(model, LINE, wrt="first", shape={0: "convex"})
    assert monitor.reports[""].headline["shape_fraction"] == 0
    first.bias.assign([10.0])
    monitor.on_epoch_end(0, {})
    assert monitor.reports[""].headline["shape_fraction"] == 1


def test_of_very_many_inputs_the_point_is_told_by_its_number():
    x = RNG.normal(size=(5, 100))
    net = keras.Sequential([keras.Input((100,)), layers.Dense(4, "tanh"), layers.Dense(1)])
    found, _ = shape_of(net, {3: ("convex", "concave")}, x)
    broken = max(found.values(), key=lambda entry: entry.worst_violation)
    assert broken.at == {}
    assert str(broken).endswith(f"at probe point {broken.point}")


WRONG = {
    "no dict": ("convex", TypeError, "must be a dict from names"),
    "empty": ({}, ValueError, "an empty dict"),
    "unknown word": ({0: "bent"}, ValueError, "Received: 'bent' for 0"),
    "no word": ({0: ()}, ValueError, r"Received: \(\) for 0"),
    "a number": ({0: 1}, TypeError, "Received: 1 for 0"),
    "among words": ({0: ("convex", 2)}, ValueError, "for 0"),
    "a float": ({0.5: "convex"}, TypeError, "0.5 among the inputs"),
    "a truth": ({True: "convex"}, TypeError, "True among the inputs"),
    "unknown input": ({"K": "convex"}, ValueError, r"\['x0', 'x1'\].* Received: 'K'"),
    "beyond": ({2: "convex"}, ValueError, "Received: 2"),
    "twice": ({0: "convex", "x0": "increasing"}, ValueError, "'x0' again"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_asked_is_refused_before_training(case):
    shape, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        untrained(of(a), X, shape=shape)
    with pytest.raises(error, match=message):
        kc.ShapePenalty(of(a), shape)(keras.Input((2,)))
