"""A column that is the same everywhere: no step along it fits the others, and nothing is known."""

import keras
import numpy as np
import pytest

import keras_curvature as kc

RNG = np.random.default_rng(0)


def columns(constant, n=60):
    return np.stack([RNG.normal(size=n), np.full(n, constant), RNG.normal(size=n)], axis=1)


def network(*before, d=3):
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((d,)), *before, *hidden])


def normalised(x):
    layer = keras.layers.Normalization()
    layer.adapt(x)
    return network(layer)


@pytest.mark.parametrize("constant", [0.0, 3.0, -2e4])
def test_a_column_that_is_divided_by_an_epsilon_is_what_is_found_and_nothing_else(constant):
    """Steps along it made the gradient look altered, and the scale lost in rounding."""
    x = columns(constant)
    report = kc.diagnose(normalised(x), x)
    assert report.kinds == ("constant input",), str(report)
    (finding,) = report.findings
    assert finding.where == "input 1"
    assert finding.size > 1e5
    assert "Normalization" in finding.advice


@pytest.mark.parametrize("x", [columns(3.0), columns(3.0)[:1], columns(3.0)[:, 1:2]])
def test_a_constant_column_by_itself_is_no_ailment(x):
    assert kc.diagnose(network(d=x.shape[1]), x).healthy


def test_what_varies_is_looked_at_as_before():
    """A stopped gradient beside a constant column is still found."""
    stop = keras.layers.Lambda(lambda x: x + keras.ops.stop_gradient(x**2), name="stop")
    assert "altered gradient" in kc.diagnose(network(stop), columns(3.0)).kinds


def test_it_has_no_weight_in_standard_deviations_wherever_numbers_stand():
    x = columns(3.0)
    measured = {}
    for units in ("raw", "std"):
        model = normalised(x)
        model.compile("sgd", "mse")
        monitor = kc.CurvatureMonitor(x, units=units)
        model.fit(x, x[:, :1], verbose=0, callbacks=[monitor])
        measured[units] = monitor.reports[""]
    raw, std = measured["raw"], measured["std"]
    assert raw.headline["rms"] > 1e9  # it is asked for in units of x, and there it is
    assert "x1 is the same at all points of the probe and has over 99 % of rms²" in str(raw.verdict)
    assert std.headline["rms"] < 10
    assert std.features["x1"] == raw.features["x1"] == 0
    assert "the same at all points" not in str(std.verdict)
    for report in measured.values():
        assert any("The same at all points: x1" in line for line in report.method)


def test_a_shape_along_it_is_judged_with_a_warning():
    x = columns(3.0)
    model = network()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="'convex' in 'x1', which is the same at all points"):
        model.fit(
            x, x[:, :1], verbose=0, callbacks=[kc.CurvatureMonitor(x, shape={"x1": "convex"})]
        )
