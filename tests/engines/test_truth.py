"""The differences that everything else is compared with, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from keras_curvature.verification.stencils import (
    first_weights,
    rounding_bound,
    second_weights,
    truncation,
)
from truth import (
    difference_of_slope,
    directional_second_difference,
    gradient,
    hessian_of_value,
)

H = 0.03  # a little more than the table's step for smooth cases, tests/support/cases/case.py
ORDERS = [2, 4, 6, 8]


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-1, 1, size=(4, 3))


def relative(found, truth):
    return np.abs(found - truth).max() / np.abs(truth).max()


def test_weights_are_the_ones_in_the_books():
    np.testing.assert_allclose(first_weights(8), [4 / 5, -1 / 5, 4 / 105, -1 / 280], rtol=1e-15)
    np.testing.assert_allclose(second_weights(8), [8 / 5, -1 / 5, 8 / 315, -1 / 560], rtol=1e-15)
    np.testing.assert_allclose(second_weights(2), [1.0])
    assert truncation(2) == pytest.approx(1 / 12)
    assert truncation(8) == pytest.approx(1 / 3150)


@pytest.mark.parametrize("order", [0, 3, -2])
def test_an_order_that_is_not_even_is_refused(order):
    with pytest.raises(ValueError, match="even and at least 2"):
        second_weights(order)


@pytest.mark.parametrize("degree", range(10))
def test_polynomials_up_to_degree_nine_have_no_truncation(degree):
    # Order 8 annihilates the error of everything below degree 10: any step will do.
    x = np.array([[0.7]])
    found = hessian_of_value(lambda z: z**degree, x, h=0.5)
    truth = degree * (degree - 1) * 0.7 ** max(degree - 2, 0)
    # values reach 2.7**9 = 7600 at the outermost point; 64 eps of that, over h**2
    assert abs(found.item() - truth) <= 64 * 2.2e-16 * 2.7**degree / 0.5**2


def test_cubic_with_mixed_terms(x):
    def f(z):
        return np.stack([z[:, 0] * z[:, 1] * z[:, 2], z[:, 0] ** 2 * z[:, 1]], axis=1)

    found = hessian_of_value(f, x, H)
    a, b, c = x.T
    zero = np.zeros_like(a)
    product = np.array([[zero, c, b], [c, zero, a], [b, a, zero]])
    square = np.array([[2 * b, 2 * a, zero], [2 * a, zero, zero], [zero, zero, zero]])
    truth = np.stack([product, square]).transpose(3, 0, 1, 2)
    assert relative(found, truth) < 1e-11  # reached: 2e-12, all rounding
    np.testing.assert_array_equal(found, found.transpose(0, 1, 3, 2))


@pytest.mark.parametrize(
    ("function", "first", "second"),
    [
        (np.exp, np.exp, np.exp),
        (np.sin, np.cos, lambda t: -np.sin(t)),
        (
            np.tanh,
            lambda t: 1 - np.tanh(t) ** 2,
            lambda t: -2 * np.tanh(t) * (1 - np.tanh(t) ** 2),
        ),
    ],
    ids=["exp", "sin", "tanh"],
)
def test_functions_of_a_projection(x, function, first, second):
    w = np.array([0.3, -0.8, 0.5])
    t = x @ w
    found = hessian_of_value(lambda z: function(z @ w)[:, None], x, H)
    truth = second(t)[:, None, None, None] * np.outer(w, w)
    # Reached: 5e-13 for exp and sin, 2e-12 for tanh, whose poles are 1.6 away. The goal is
    # 1e-9, a thousandth of what the engines are allowed.
    assert relative(found, truth) < 1e-11
    slope = gradient(lambda z: function(z @ w)[:, None], x, H)
    assert relative(slope, first(t)[:, None, None] * w) < 1e-11  # reached: 1e-14, 1e-12
    v = np.random.default_rng(1).normal(size=x.shape)
    along = directional_second_difference(lambda z: function(z @ w)[:, None], x, v, H)
    assert relative(along, (second(t) * (v @ w) ** 2)[:, None]) < 1e-11  # reached: 3e-12


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("h", [0.4, 0.2, 0.1, 0.05, 0.02, 0.01, 0.004, 0.001])
def test_the_error_is_truncation_plus_rounding(h, order):
    x = np.linspace(-1, 1, 9)[:, None]
    found = hessian_of_value(np.exp, x, h, order)[:, 0, 0]
    error = np.abs(found - np.exp(x)).max()
    far = np.exp(1 + order / 2 * h)  # the largest value, and derivative, that is met
    budget = truncation(order) * h**order * far + rounding_bound(h, order, far)
    assert error <= budget
    # ... and is not bounded by some accident: either part is really there.
    if truncation(order) * h**order > 100 * rounding_bound(h, order, 1.0):
        assert error > 0.1 * truncation(order) * h**order


def test_many_directions_come_in_portions(monkeypatch, x):
    sizes = []

    def f(z):
        sizes.append(len(z))
        return np.sin(z).sum(axis=1, keepdims=True)

    whole = hessian_of_value(f, x, H)
    monkeypatch.setattr("truth.ROWS_AT_ONCE", 40)
    sizes.clear()
    np.testing.assert_array_equal(hessian_of_value(f, x, H), whole)
    assert max(sizes) <= 40
    assert all(size % len(x) == 0 for size in sizes)  # whole batches only


def test_an_example_keeps_what_belongs_to_it(x):
    # What is not differentiated by is tiled: row i is example i % n.
    factor = np.arange(1.0, len(x) + 1)

    def f(z):
        return (np.tile(factor, len(z) // len(x)) * (z**2).sum(axis=1))[:, None]

    found = hessian_of_value(f, x, H)
    assert relative(found, 2 * factor[:, None, None, None] * np.eye(3)) < 1e-11


def test_difference_of_slope(x):
    v = np.random.default_rng(1).normal(size=x.shape)

    def slope(z, direction):  # of sin(z_0) z_1, cos(z_2)
        a, b, c = z.T
        p, q, r = direction.T
        return np.stack([np.cos(a) * b * p + np.sin(a) * q, -np.sin(c) * r], axis=1)

    found = difference_of_slope(slope, x, v, 1e-4)
    (a, b, c), (p, q, r) = x.T, v.T
    truth = np.stack([-np.sin(a) * b * p**2 + 2 * np.cos(a) * p * q, -np.cos(c) * r**2], axis=1)
    assert relative(found, truth) < 1e-10  # reached: 1e-12; eps / h is 2e-12


def test_difference_of_slope_is_exact_between_kinks():
    x, v = np.array([[0.001]]), np.array([[1.0]])
    found = difference_of_slope(lambda z, _: 3 * np.maximum(z, 0) * z, x, v, 1e-5)
    assert abs(found.item() - 6 * 0.001) < 1e-12
