"""Derivatives along a line, and how far they say themselves that they are off."""

from __future__ import annotations

import numpy as np
import pytest

from keras_curvature.verification.line_derivatives import PLACES, STEPS, first, second

EPS = float(np.finfo(np.float64).eps)

# function of the way along the line, first and second derivative at 0
SMOOTH = {
    "exp": (np.exp, 1.0, 1.0),
    "tanh": (lambda t: np.tanh(0.3 + t), 1 - np.tanh(0.3) ** 2, -0.5330807),
    "a fast wave": (lambda t: np.sin(20 * t + 1), 20 * np.cos(1), -400 * np.sin(1)),
    "a line": (lambda t: 3 * t - 1, 3.0, 0.0),
    "between kinks": (lambda t: np.abs(t - 0.001), -1.0, 0.0),
}


def values_of(function):
    return np.asarray(function(PLACES), dtype=float)[None, :, None]


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_are_known_and_known_to_be(name):
    function, slope, curvature = SMOOTH[name]
    if name == "tanh":
        curvature = -2 * np.tanh(0.3) * slope
    values = values_of(function)
    noise = np.array([EPS * np.abs(values).max()])
    for found, truth in ((first(values, noise), slope), (second(values, noise), curvature)):
        assert abs(found.value.item() - truth) <= found.doubt.item()
        # Nine digits of the size; between kinks the shortest steps leave rounding / h**2.
        assert found.doubt.item() < 1e-6 * max(abs(curvature), abs(slope))


@pytest.mark.parametrize("distance", [0.0, 1e-5, 5e-5])
def test_a_kink_within_reach_of_every_step_leaves_doubt(distance):
    assert distance < 4 * STEPS[-1]
    values = values_of(lambda t: np.maximum(t - distance, 0))
    found = second(values, np.array([EPS]))
    assert found.doubt.item() > 0.1 * abs(found.value.item())
    assert first(values, np.array([EPS])).doubt.item() > 0.01  # of a jump by 1
    assert found.rounding.item() < found.doubt.item() / 2  # it is not rounding, and says so


@pytest.mark.parametrize("function", [np.sign, lambda t: np.where(t == 0, np.nan, 1 / t)])
def test_a_jump_and_a_pole_leave_doubt(function):
    with np.errstate(divide="ignore", invalid="ignore"):
        values = values_of(function)
    for found in (first(values, np.array([EPS])), second(values, np.array([EPS]))):
        assert not found.doubt.item() <= 0.01 * abs(found.value.item())


def test_values_in_float32_take_a_long_step_and_own_up_to_rounding():
    rng = np.random.default_rng(0)
    noise = 1e-7
    values = values_of(np.exp)
    values = values * (1 + noise * rng.normal(size=values.shape))
    found = second(values, np.array([noise]))
    assert abs(found.value.item() - 1) <= found.doubt.item()
    # 4 * 1.9 * 1e-7 / 0.125**2 = 5e-5, and what it does to the changes
    assert found.doubt.item() < 1e-3


def test_sums_and_differences_add_up_their_doubt():
    one = second(values_of(np.exp), np.array([EPS]))
    assert one.minus(one).value.item() == 0
    assert one.minus(one).doubt == 2 * one.doubt
    assert one.times(np.array(-3.0)).doubt == 3 * one.doubt
    assert one.sum(axis=0).doubt.item() == one.doubt.item()
