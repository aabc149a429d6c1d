"""Functions at points where branches of their formulas meet, against closed forms.

A smooth function that is written in branches has its derivatives if all are taken on one side.
"""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

import keras_curvature as kc


def rest(x):
    """What is missing to a softplus: half its slope, and all that bends."""
    return ops.log1p(ops.exp(-ops.abs(x)))


def zeros(x):
    return ops.zeros_like(x)


SOFTPLUS = 1 / 2, 1 / 4

SMOOTH = {
    "the constant second": (lambda x: ops.maximum(x, 0.0) + rest(x), SOFTPLUS),
    "the constant first": (lambda x: ops.maximum(0.0, x) + rest(x), SOFTPLUS),
    "zeros of its shape first": (lambda x: ops.maximum(zeros(x), x) + rest(x), SOFTPLUS),
    "minimum, constant first": (lambda x: x - ops.minimum(0.0, x) + rest(x), SOFTPLUS),
    "minimum, constant second": (lambda x: x - ops.minimum(x, 0.0) + rest(x), SOFTPLUS),
    "relu": (lambda x: ops.relu(x) + rest(x), SOFTPLUS),
    "relu of the negative": (lambda x: x + ops.relu(-x) + rest(x), SOFTPLUS),
    "relu, magnitude of the negative": (lambda x: ops.relu(x) + rest(-x), SOFTPLUS),
    "relu of a difference": (lambda x: ops.relu(x - 1 + 1) + rest(x - 1 + 1), SOFTPLUS),
    "relu and maximum": (lambda x: ops.relu(x) - ops.maximum(x, 0.0), (0, 0)),
    "leaky relu": (lambda x: ops.leaky_relu(x, 0.5) - 0.25 * ops.abs(x), (3 / 4, 0)),
    "where x > 0": (lambda x: ops.where(x > 0, x, zeros(x)) + rest(x), SOFTPLUS),
    "where 0 < x": (lambda x: ops.where(ops.less(0, x), x, zeros(x)) + rest(x), SOFTPLUS),
    "where x >= 0": (lambda x: ops.where(x >= 0, x, zeros(x)) + rest(x), SOFTPLUS),
    "where x <= 0": (lambda x: ops.where(x <= 0, zeros(x), x) + rest(x), SOFTPLUS),
    "where x < 0": (lambda x: ops.where(x < 0, zeros(x), x) + rest(x), SOFTPLUS),
    "clipped from below": (lambda x: ops.clip(x, 0.0, 9.0) + rest(x), SOFTPLUS),
    "clipped from above": (lambda x: x - ops.clip(x, -9.0, 0.0) + rest(x), SOFTPLUS),
    "of two": (lambda x: ops.maximum(2 * x, x) + rest(x - 2 * x), (3 / 2, 1 / 4)),
    "of two, by a where": (
        lambda x: ops.where(2 * x > x, 2 * x, x) + rest(2 * x - x),
        (3 / 2, 1 / 4),
    ),
    "larger and smaller": (lambda x: ops.maximum(3 * x, x) + ops.minimum(x, 3 * x), (4, 0)),
    "magnitude, squared": (lambda x: ops.abs(x) ** 2, (0, 2)),
    "magnitude of a square": (lambda x: ops.abs(x * x), (0, 2)),
    "a square, cut off": (lambda x: ops.maximum(0.0, x * x), (0, 2)),
}
"""Function, slope and second derivative at 0."""

KINKED = {
    "relu": (ops.relu, 0),
    "both relus": (lambda x: ops.relu(x) + ops.relu(-x), 0),
    "magnitude": (ops.abs, 1),
    "maximum": (lambda x: ops.maximum(x, 0.0), 1),
    "maximum, constant first": (lambda x: ops.maximum(0.0, x), 1),
    "minimum, constant first": (lambda x: ops.minimum(0.0, x), 0),
}
"""Function and the slope that is taken at 0."""

by_every_way = pytest.mark.parametrize("engine", ["taylor", "nested"])


def derivatives(function, engine):
    """Slope and second derivative at 0."""
    asked = {"slope": (0,), "bend": (0, 0)}
    x = np.zeros((1, 1))
    found = kc.derivatives(function, x, asked, engine=engine, dtype="float64")
    found |= {"jacobian": kc.jacobian(function, x, engine=engine, dtype="float64")}
    found |= {"hessian": kc.hessian(function, x, engine=engine, dtype="float64")}
    return {name: ops.convert_to_numpy(tensor).item() for name, tensor in found.items()}


@pytest.mark.every(9)
@by_every_way
@pytest.mark.parametrize("name", SMOOTH)
def test_what_is_smooth_has_its_derivatives(name, engine):
    function, (slope, bend) = SMOOTH[name]
    found = derivatives(function, engine)
    # Roundings of numbers of size 1.
    truths = {"slope": slope, "jacobian": slope, "bend": bend, "hessian": bend}
    for quantity, truth in truths.items():
        np.testing.assert_allclose(found[quantity], truth, atol=1e-15, err_msg=quantity)


@pytest.mark.every(2)
@by_every_way
@pytest.mark.parametrize("name", KINKED)
def test_a_kink_alone_has_the_slope_that_is_documented(name, engine):
    function, slope = KINKED[name]
    found = derivatives(function, engine)
    assert (found["slope"], found["jacobian"], found["hessian"]) == (slope, slope, 0)


@by_every_way
def test_values_stay_what_they_are(engine):
    x = np.array([[-2.0], [-0.0], [0.0], [3.0], [np.nan]])
    found = kc.derivatives(
        lambda x: ops.relu(x) + ops.maximum(0.0, x) + ops.abs(x), x, ("value",), engine=engine
    )
    truth = [[2.0], [0.0], [0.0], [9.0], [np.nan]]
    np.testing.assert_array_equal(ops.convert_to_numpy(found["value"]), truth)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dense_layer_before_the_branches(dtype):
    """At zeros, as a new layer without bias has them for an example that is 0."""
    weights = np.array([[1.0], [2.0]])

    def softplus(x):
        z = ops.matmul(x, ops.cast(weights, x.dtype))
        return ops.relu(z) + rest(z)

    found = kc.derivatives(softplus, np.zeros((3, 2), dtype), ("jacobian", "hessian"))
    jacobian, hessian = (ops.convert_to_numpy(found[name]) for name in ("jacobian", "hessian"))
    np.testing.assert_allclose(jacobian.reshape(3, 2), [[0.5, 1]] * 3, rtol=1e-6)
    np.testing.assert_allclose(hessian.reshape(3, 2, 2), [[[0.25, 0.5], [0.5, 1]]] * 3, rtol=1e-6)
