"""Every result of interval arithmetic holds the exact one, which fractions know."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from keras_curvature.enclosures import interval
from keras_curvature.enclosures.contraction import _product
from keras_curvature.enclosures.interval import Interval, point
from keras_curvature.enclosures.linear_map import matrix

RNG = np.random.default_rng(0)


def drawn(*shape):
    """Intervals of all sizes, some of them points, some around 0."""
    ends = RNG.normal(size=(2, *shape)) * 10.0 ** RNG.integers(-6, 6, size=(2, *shape))
    ends[1] = np.where(RNG.uniform(size=shape) < 0.2, ends[0], ends[1])
    return Interval(ends.min(axis=0), ends.max(axis=0))


def inside(a):
    """One number of each interval, an end in two of three cases."""
    share = RNG.choice([0.0, 1.0, 0.5], size=a.shape)
    return np.clip(a.lower + share * (a.upper - a.lower), a.lower, a.upper)


OPERATIONS = {
    "add": (interval.add, lambda a, b: a + b),
    "subtract": (interval.subtract, lambda a, b: a - b),
    "multiply": (interval.multiply, lambda a, b: a * b),
    "square": (lambda a, b: interval.square(a), lambda a, b: a * a),
    "negative": (lambda a, b: interval.negative(a), lambda a, b: -a),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_hold_the_exact_result(name):
    ours, exact = OPERATIONS[name]
    for make in (
        lambda x: x,
        lambda x: point(x.lower),
        lambda x: Interval(abs(x.lower), abs(x.lower) + 1),
    ):
        a, b = make(drawn(300)), drawn(300)
        for x in (a, b):  # so small that products underflow, and 0
            for bound in (x.lower, x.upper):
                bound[:100] *= 1e-160
                bound[:20] = 0.0
        found = ours(a, b)
        for x, y, low, high in zip(inside(a), inside(b), found.lower, found.upper, strict=True):
            assert Fraction(low) <= exact(Fraction(x), Fraction(y)) <= Fraction(high)


def exact_product(x, w):
    """In fractions."""
    return [
        [sum(Fraction(a) * Fraction(b) for a, b in zip(row, column, strict=True)) for column in w.T]
        for row in x
    ]


def holds(found, exact):
    flat = zip(found.lower.ravel(), found.upper.ravel(), itertools.chain(*exact), strict=True)
    return all(Fraction(low) <= y <= Fraction(high) for low, high, y in flat)


@pytest.mark.parametrize("of_points", [True, False])
def test_products_of_matrices_hold_the_exact_one(of_points):
    w = drawn(7, 5)
    a = drawn(6, 7)
    a = point(a.lower) if of_points else a
    assert holds(matrix(w.lower)(a), exact_product(inside(a), w.lower))
    assert holds(_product(a, w), exact_product(inside(a), inside(w)))


def test_0_times_infinity_is_0():
    """What is infinite is the limit of what is finite."""
    found = interval.multiply(point(np.zeros(1)), Interval(np.zeros(1), np.full(1, np.inf)))
    assert (found.lower, found.upper) == (0, 0)


def test_an_infinite_bound_goes_where_the_sign_of_the_weight_says():
    """And terms of one sign keep it, so that what is convex stays so."""
    weights = matrix(np.array([[1.0, -1.0, 0.0], [2.0, 0.0, 0.0]]))
    found = weights(Interval(np.zeros((1, 2)), np.array([[np.inf, 1.0]])))
    np.testing.assert_array_equal(found.lower, [[0.0, -np.inf, 0.0]])
    np.testing.assert_array_equal(found.upper[0, [0, 2]], [np.inf, 0.0])
    assert 0 <= found.upper[0, 1] < 1e-12


def test_what_overflows_is_no_bound_on_the_wrong_side():
    large = point(np.array([1e300]))
    with np.errstate(over="ignore", invalid="ignore"):
        found = interval.multiply(large, large)
    assert np.isfinite(found.lower)
    assert found.upper == np.inf
