from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_curvature.measurement import windows
from measurements import measurement, segments

HESSIANS = np.array([[[2.0, 1.0], [1.0, -4.0]], [[6.0, 0.0], [0.0, 2.0]]])
X = np.array([[0.0, 0.0], [1.0, 2.0]])


def test_headline_by_hand():
    numbers = measurement(X, HESSIANS).headline()
    assert numbers["mean"] == pytest.approx((-2 + 8) / 2)
    assert numbers["rms"] == pytest.approx(np.sqrt((4 + 1 + 1 + 16 + 36 + 4) / 2))
    assert numbers["scale_mean"] == pytest.approx((-2 + 8) / 2)
    assert numbers["scale_rms"] == pytest.approx(np.sqrt((4 + 16 + 36 + 4) / 2))
    assert numbers["slope_change"] == pytest.approx(2)  # x**2 on [0, 1]
    assert numbers["hidden_fraction"] == 0
    assert "r2" not in numbers


def test_detail_by_hand():
    numbers = measurement(X, HESSIANS).detail()
    low, high = np.linalg.eigvalsh(HESSIANS[0])
    assert numbers["p50"] == pytest.approx(3)
    assert numbers["max"] == pytest.approx(8)
    assert numbers["positive_fraction"] == 0.5
    assert numbers["zero_fraction"] == 0
    assert numbers["nonfinite_fraction"] == 0
    assert numbers["joint_convex_fraction"] == 0.5
    assert numbers["joint_concave_fraction"] == 0
    assert numbers["joint_convexity_violation"] == pytest.approx(-low)
    assert numbers["top_eigenvalue"] == pytest.approx(6)
    assert high < 6
    # the gradient is (1, 1) at both points
    assert numbers["normalized"] == pytest.approx(np.mean([-low, 6]) / np.sqrt(2))
    assert numbers["interaction_fraction"] == pytest.approx(2 / (4 + 2 + 16 + 36 + 4))


def test_without_the_whole_hessian_the_diagonal_serves():
    m = measurement(X, HESSIANS, hessian=None)
    numbers = m.headline() | m.detail()
    assert numbers["rms"] == pytest.approx(np.sqrt((4 + 16 + 36 + 4) / 2))
    assert "joint_convex_fraction" not in numbers
    assert m.interactions() is None


def test_what_is_not_finite_is_counted_and_left_out():
    broken = HESSIANS.copy()
    broken[0, 0, 0] = np.nan
    m = measurement(X, broken)
    assert m.detail()["nonfinite_fraction"] == 0.5
    assert m.headline()["mean"] == pytest.approx(8)
    assert m.headline()["rms"] == pytest.approx(np.sqrt(40))
    assert m.detail()["top_eigenvalue"] == pytest.approx(6)
    assert np.isfinite(list(m.feature_curvature().values())).all()


def test_nothing_finite_is_nan_and_no_error():
    m = measurement(X, np.full((2, 2, 2), np.nan))
    numbers = m.headline() | m.detail()
    assert np.isnan([numbers["mean"], numbers["rms"], numbers["top_eigenvalue"]]).all()
    assert numbers["nonfinite_fraction"] == 1


def test_the_mean_at_the_scale_of_one_output_is_that_of_a_measurement_of_it_alone():
    inside = np.array([[True, False], [True, True]])
    one, other = (measurement(X, size * HESSIANS, inside=inside) for size in (1, 3))
    both = np.concatenate([one.scale_diagonal, other.scale_diagonal], axis=1)
    m = measurement(X, HESSIANS, inside=inside, scale_diagonal=both)
    for i, alone in enumerate((one, other)):
        assert m.scale_mean([i]) == pytest.approx(alone.averages()["scale_mean"])


def test_averages_at_the_scale_leave_out_windows_that_stick_out():
    inside = np.array([[True, False], [True, True]])
    numbers = measurement(X, HESSIANS, inside=inside).headline()
    assert numbers["scale_mean"] == pytest.approx((2 + 6) / 2 + 2)


@pytest.mark.parametrize(
    ("kinked", "smooth", "change", "hidden"),
    [
        (lambda t: 2.0 * t, lambda t: 2.0 * t, 2.0, 0.0),
        (lambda t: np.where(t > 0.4, 3.0, 1.0), lambda t: 0.0 * t, 2.0, 1.0),
        (lambda t: np.where(t > 0.4, 1.0 + t, t), lambda t: t, 2.0, 0.5),
        (lambda t: 0.0 * t + 5, lambda t: 0.0 * t, 0.0, 0.0),
        (lambda t: 0.0 * t, lambda t: 0.0 * t, 0.0, 0.0),
    ],
    ids=["smooth", "one kink", "half and half", "straight", "constant"],
)
def test_slope_change_and_hidden_fraction(kinked, smooth, change, hidden):
    found = segments(smooth, kinked)
    assert found.slope_change() == pytest.approx(change)
    # The kink's piece also holds a sixth of the smooth change.
    assert found.hidden_fraction() == pytest.approx(hidden, abs=1e-12)


def test_rounding_of_the_slope_is_not_called_hidden_curvature():
    noise = np.finfo(np.float32).eps * np.array([0, 3, -2, 4, 1, -3, 2.0])
    found = segments(lambda t: 0.0 * t, lambda t: 1 + noise)
    assert found.hidden_fraction() == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_gives_a_constant_input_no_deviation(dtype):
    """The mean of a thousand times 0.1 is not 0.1."""
    z = tf.fill([1000, 1], tf.constant(0.1, dtype))
    assert tf.math.reduce_std(z, axis=0) > 0
    assert windows.spread(z).numpy().tolist() == [1]
    assert windows.spread(z + tf.eye(1000, 1, dtype=dtype)) < 1


def test_standard_units_compare_a_function_with_its_stretched_copy():
    """f(x) and 100 f(x / 1000) look the same in standard units."""
    rng = np.random.default_rng(0)
    hessian = rng.normal(size=(5, 2, 2))
    hessian += hessian.transpose(0, 2, 1)
    stretch, tall = np.array([1000.0, 2.0]), 100.0
    plain = measurement(rng.normal(size=(5, 2)), hessian)
    stretched = measurement(
        plain.x * stretch,
        tall * hessian / (stretch[:, None] * stretch),
        jacobian=tall * plain.jacobian / stretch,
        input_spread=stretch,
        output_spread=np.array([tall]),
        scale=plain.scale * stretch,
    )
    a, b = (m.in_units("std") for m in (plain, stretched))
    for field in ("jacobian", "diagonal", "hessian", "scale_diagonal", "scale"):
        np.testing.assert_allclose(getattr(a, field), getattr(b, field), err_msg=field)


def test_slope_change_in_standard_units_is_that_of_the_standardised_function():
    # y = x**2 seen as u = x / 4, v = y / 2: v = 8 u**2, slope 16 u over u in [0, 1/4]
    plain = segments(lambda t: 2.0 * t)
    m = measurement(
        X[:, :1],
        HESSIANS[:, :1, :1],
        input_spread=np.array([4.0]),
        output_spread=np.array([2.0]),
        segments=dataclasses.replace(plain, standard_lengths=plain.lengths / 4),
    )
    standard = m.in_units("std")
    assert standard.segments.slope_change() == pytest.approx(16)


def test_r2():
    target = np.array([[0.0], [2.0]])
    m = measurement(X, HESSIANS, value=np.array([[0.0], [1.0]]), target=target)
    assert m.headline()["r2"] == pytest.approx(1 - 1 / 2)
    constant = measurement(X, HESSIANS, target=np.ones((2, 1)))
    assert np.isnan(constant.headline()["r2"])


@pytest.mark.parametrize("units", ["raw", "std"])
def test_r2_is_the_mean_of_that_of_each_output_as_keras_and_scikit_learn_take_it(units):
    rng = np.random.default_rng(0)
    target = rng.normal(size=(50, 3)) * [1, 100, 1e-3]
    value = target + rng.normal(size=(50, 3)) * [0.1, 1, 1e-3]  # the last has R² of 0
    known = keras.metrics.R2Score()
    known.update_state(target, value)
    constant = np.full((50, 1), 0.1)  # the mean of 50 times 0.1 is not 0.1
    m = measurement(
        np.zeros((50, 1)), np.zeros((50, 1, 1)), value=np.hstack([value, constant + 1]),
        target=np.hstack([target, constant]), output_spread=np.array([2.0, 3, 4, 1]),
    ).in_units(units)  # fmt: skip
    assert m.headline()["r2"] == pytest.approx(float(known.result()), abs=1e-5)  # in float32
    assert m.headline()["r2"] < 0.8


def test_reference_errors():
    reference = np.array([[[1.0, -4.0]], [[6.0, 4.0]]])
    errors = measurement(X, HESSIANS, reference=reference).reference_errors()
    assert errors["reference_rmse"] == pytest.approx(np.sqrt((1 + 0 + 0 + 4) / 4))
    assert errors["scale_reference_rmse"] == pytest.approx(np.sqrt(5 / 4))
    assert measurement(X, HESSIANS).reference_errors() == {}


def test_interactions_are_the_mean_absolute_hessian_in_standard_units():
    found = measurement(X, HESSIANS, input_spread=np.array([1.0, 3.0])).interactions()
    np.testing.assert_allclose(found, [[4, 1.5], [1.5, 27]])
