"""Every engine and quantity at the points at which formulas break, against closed forms."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_curvature as kc
from cases.special_points import (
    KINKS,
    LOST,
    OF_ONE_NUMBER,
    OF_SEVERAL,
    WITHOUT_DERIVATIVES,
)

ENGINES = ["taylor", "nested"]
ASKED = (
    ("value", "jacobian", "hessian"),
    ("laplacian", "directional_curvature"),
    ("hessian_diagonal", "hessian_vector_product"),
)
"""Each set of names takes ways of its own through the engines."""

TOLERANCE = {"float64": {"rtol": 1e-7, "atol": 1e-15}, "float32": {"rtol": 2e-5, "atol": 1e-36}}
"""Of each number by itself: a tail is right to its last digits. Below is what underflows."""

QUICK = ("cumprod", "det of 3 rows", "logaddexp", "prod", "sum of nothing")
"""Rows that `make test` has, with the Taylor engine in float64; the others compile for long."""


def rows(table):
    """Rows x engines x dtypes."""
    for name in table:
        for engine in ENGINES:
            for dtype in TOLERANCE:
                quick = name in QUICK and (engine, dtype) == ("taylor", "float64")
                yield pytest.param(
                    name,
                    engine,
                    dtype,
                    id=f"{name}-{engine}-{dtype}",
                    marks=[] if quick else [pytest.mark.slow],
                )


def derivatives(function, x, engine, v):
    found = {}
    for names in ASKED:
        found |= kc.derivatives(function, x, names, v=v, engine=engine)
    return {name: tensor.numpy().astype("float64") for name, tensor in found.items()}


def expected(gradient, hessian, v):
    """For gradients `(n, m, d)` and Hessians `(n, m, d, d)`."""
    diagonal = np.diagonal(hessian, axis1=2, axis2=3)
    product = np.einsum("nmij,j->nmi", hessian, v)
    return {
        "jacobian": gradient,
        "hessian": hessian,
        "hessian_diagonal": diagonal,
        "laplacian": diagonal.sum(axis=2),
        "directional_curvature": product @ v,
        "hessian_vector_product": product,
    }


def check(found, gradient, hessian, v, names, dtype, slack=0.0):
    for name, truth in expected(gradient, hessian, v).items():
        here = found[name].reshape(truth.shape)
        for k, row in enumerate(names):
            tolerance = dict(TOLERANCE[dtype])
            tolerance["atol"] = max(tolerance["atol"], slack)
            np.testing.assert_allclose(
                here[:, k], truth[:, k], err_msg=f"{name} of {row}", **tolerance
            )


@pytest.mark.parametrize(("group", "engine", "dtype"), list(rows(OF_ONE_NUMBER)))
def test_functions_of_one_number(group, engine, dtype):
    points, functions = OF_ONE_NUMBER[group]
    x = np.array(points, dtype)[:, None]
    exact = x.astype("float64")[:, 0]
    columns = [row.function for row in functions.values()]

    def all_of_them(x):
        return tf.concat([tf.reshape(column(x), (-1, 1)) for column in columns], axis=1)

    found = derivatives(all_of_them, x, engine, np.ones(1))
    first, second = (
        np.stack([row[k](exact) for row in functions.values()], axis=1) for k in (1, 2)
    )
    check(found, first[..., None], second[..., None, None], np.ones(1), functions, dtype)


@pytest.mark.every(2)
@pytest.mark.parametrize(("name", "engine", "dtype"), list(rows(OF_SEVERAL)))
def test_functions_of_several_numbers(name, engine, dtype):
    row = OF_SEVERAL[name]
    x = np.array(row.points, dtype)
    exact = x.astype("float64")
    v = np.arange(1.0, x.shape[1] + 1)
    found = derivatives(row.function, x, engine, v)
    gradient, hessian = row.gradient(exact)[:, None], row.hessian(exact)[:, None]
    # Sums of many terms of which some cancel: rounding is that of the largest.
    slack = {"float64": 1e-12, "float32": 1e-5}[dtype] * np.abs(hessian).sum()
    check(found, gradient, hessian, v, [name], dtype, slack)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_taken_at_a_kink(engine):
    """The same slope by every way, and no curvature."""
    for name, (function, point, slope) in KINKS.items():
        found = derivatives(function, np.array([[point]], "float64"), engine, np.ones(1))
        np.testing.assert_allclose(found["jacobian"].ravel(), [slope], err_msg=name)
        for quantity in expected(*[np.zeros((1,) * n) for n in (3, 4, 1)]):
            if quantity != "jacobian":
                np.testing.assert_array_equal(found[quantity].ravel(), [0], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", {**LOST, **WITHOUT_DERIVATIVES})
def test_an_example_is_lost_alone(name, engine):
    function, points = {**LOST, **WITHOUT_DERIVATIVES}[name]
    x = np.array(points, "float64")
    v = np.ones(x.shape[1])
    found = derivatives(function, x, engine, v)
    without = derivatives(function, x[[0, 2]], engine, v)
    for quantity, values in found.items():
        # Two roundings: how many examples there are decides which of them an exp takes at once.
        np.testing.assert_allclose(
            values[[0, 2]], without[quantity], rtol=4e-16, atol=0, err_msg=quantity
        )
        if quantity != "value" or name in LOST:
            assert not np.isfinite(values[1]).all(), quantity


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_slope_of_an_angle_whose_radius_has_no_square(engine, scale):
    x = np.array([[3, -4]], "float32") * np.float32(scale)
    found = kc.derivatives(
        lambda x: tf.math.atan2(x[:, 0], x[:, 1]), x, ("jacobian",), engine=engine
    )["jacobian"]
    truth = np.array([[-0.16, -0.12]]) / scale
    np.testing.assert_allclose(found, truth, rtol=1e-5)  # a few roundings of float32


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_an_infinite_output_leaves_the_values_of_others_alone(engine):
    found = kc.derivatives(
        lambda x: tf.concat([1 / x, x * x], axis=1),
        np.zeros((1, 1)),
        ("value", "jacobian", "hessian"),
        engine=engine,
    )
    np.testing.assert_array_equal(found["value"], [[np.inf, 0]])


@pytest.mark.slow
def test_diagnose_names_what_is_lost():
    x = np.array(LOST["inverse"][1], "float32")
    inputs = keras.Input((4,))
    outputs = keras.layers.Lambda(lambda x: ops.inv(ops.reshape(x, (-1, 2, 2)))[:, 0])(inputs)
    (finding,) = [
        f for f in kc.diagnose(keras.Model(inputs, outputs), x).findings if f.kind == "not finite"
    ]
    assert "MatrixInverse" in finding.where
    assert "1 of 3 examples" in finding.found


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_power_at_0_has_no_mixed_derivative(engine):
    """`x ** p` has `xᵖ⁻¹ (1 + p log x)`, which is infinite at (0, 1)."""
    found = kc.hessian(lambda x: x[:, 0] ** x[:, 1], np.array([[0, 1], [0, 2.0]]), engine=engine)
    assert not np.isfinite(found[0, 0, 1])
    np.testing.assert_array_equal(found[1], [[2, 0], [0, 0]])
