"""How many digits of the second derivatives are real, on models of which that is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

import keras_curvature as kc
from keras_curvature.measurement import digits, multiscale
from keras_curvature.report.metrics import LOW_DIGITS

X = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
IN_FLOAT32, IN_FLOAT64 = -np.log10(np.finfo("float32").eps / 2), -np.log10(np.finfo(float).eps / 2)


class Of(keras.layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return ops.sum(self.function(x), axis=-1, keepdims=True)


def model_of(function, d=2):
    inputs = keras.Input((d,))
    return keras.Model(inputs, Of(function)(inputs))


def measured(function, x=X, **options):
    return kc.CurvatureMonitor(x, **options).measure(model_of(function, x.shape[1]))[""]


def shifted(by):
    """`x + by` rounds by up to half a unit in its last place, and so does the angle of the sine."""
    return lambda x: ops.sin(x + by)


def as_rounded(by):
    """By hand: `sin(x + by)` once with the sum in float32, once in float64; two inputs alike."""
    x = X[multiscale.scale_lines(X.astype(float), X.std(axis=0)).start]
    exact = -np.sin(x.astype(float) + by)
    off = -np.sin((x + np.float32(by)).astype(float)) - exact
    return -np.log10(np.linalg.norm(off) / np.linalg.norm(exact))


CASES = {
    # Of a model: digits, and how far they may be off: which direction, which op rounds how.
    "exact": (lambda x: x * x, {}, IN_FLOAT32, 0.1),
    "exact in float64": (lambda x: x * x, {"dtype": "float64"}, IN_FLOAT64, 0.5),
    "an offset behind it": (lambda x: 1e-3 * ops.sin(x) + 1e4, {}, 7.0, 0.6),
    "an offset before it": (shifted(1e4), {}, as_rounded(1e4), 0.4),
    "a larger one": (shifted(1e6), {}, as_rounded(1e6), 0.4),
    "the same in float64": (shifted(1e4), {"dtype": "float64"}, as_rounded(1e4) + 8.7, 0.9),
    "a derivative of another function": (lambda x: ops.sin(x) * ops.stop_gradient(x), {}, 0.3, 0.5),
}


@pytest.mark.every(3)
@pytest.mark.parametrize("case", CASES)
def test_digits_are_those_that_float64_and_differences_leave(case):
    function, options, expected, near = CASES[case]
    found = measured(function, **options)
    assert found.detail["digits"] == pytest.approx(expected, abs=near)
    few = expected < LOW_DIGITS
    assert ("digits" in found.first) == few
    assert ("digits of the second derivatives are real" in found.verdict.sentence) == few
    assert "digits" not in found.headline


@pytest.mark.parametrize(
    ("function", "kind"),
    [(ops.relu, "piecewise linear"), (lambda x: 3 * x, "straight")],
    ids=["kinks", "a line"],
)
def test_of_zeros_there_are_none_to_count(function, kind):
    found = measured(function)
    assert np.isnan(found.detail["digits"])
    assert found.verdict.kind == kind
    assert "digits of" not in found.verdict.sentence


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 70])
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_healthy_networks_have_most_of_them(d, dtype):
    """Of 70 inputs the Hessian's diagonal is all that is measured, or estimates are."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(16, "tanh") for _ in range(3)]
    net = keras.Sequential([keras.Input((d,)), *hidden, keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(40, d)).astype("float32")
    for directions in ("all", 4):
        monitor = kc.CurvatureMonitor(x, dtype=dtype, directions=directions)
        (found,) = monitor.measure(net).values()
        least = (IN_FLOAT32 if dtype is None else IN_FLOAT64) - 2
        assert found.detail["digits"] > least, directions


def test_in_estimates_rounding_is_seen_too():
    found = measured(shifted(1e6), directions=4)
    assert found.hessians == "estimates"
    assert found.detail["digits"] == pytest.approx(as_rounded(1e6), abs=0.5)


def test_values_that_float32_has_not_are_no_sign_of_another_model():
    """In float64 the trace is right in digits that the model itself, in float32, has lost."""
    found = measured(shifted(1e6), dtype="float64")
    assert found.detail["digits"] > 8


def along_a_line(function, second):
    """What `contradicted` says of a second derivative at 0, of values on one line."""
    values = function(multiscale.OFFSETS)[None, :, None]
    given = digits.Second(np.full((1, 1), second), np.full((1, 1, 1), second), 1e-16)
    return digits.contradicted(given, values, np.array([1e-16])).item()


KINKED = {
    "far": lambda t: np.cos(t) + np.abs(t - 0.3),
    "near": lambda t: np.cos(t) + np.abs(t - 1e-4),
    "here": lambda t: np.cos(t) + np.abs(t),
    "a jump": lambda t: np.cos(t) + (t > 0.01),
}


def test_differences_contradict_what_is_wrong_and_no_more():
    assert along_a_line(np.cos, -1.0) == 0
    assert along_a_line(np.cos, -1.001) == pytest.approx(0.001, rel=1e-3)
    assert along_a_line(lambda t: np.full_like(t, np.nan), -1.0) == 0


@pytest.mark.parametrize("case", KINKED)
def test_a_kink_contradicts_nothing(case):
    assert along_a_line(KINKED[case], -1.0) < 1e-6
