"""Taylor models hold the real numbers that they stand for, rounding included, term by term."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import keras
import numpy as np
import pytest
from keras import layers

from keras_curvature.enclosures import higher_derivatives, interval
from keras_curvature.enclosures.encloser import encloser_of
from keras_curvature.enclosures.interval import Interval, point
from keras_curvature.enclosures.linear_map import matrix
from keras_curvature.enclosures.taylor_model import Coordinates, TaylorModel, box_model
from keras_curvature.engines.api import Options, bind
from keras_curvature.engines.quantities import HESSIAN, JACOBIAN, VALUE

mpmath = pytest.importorskip("mpmath")  # PyTorch brings it along
RNG = np.random.default_rng(0)


def model(d, size, scale=1.0, rest=0.1):
    at = Coordinates(d)
    terms = RNG.normal(size=(at.terms, size)) * scale
    radius = rest * scale * RNG.random((2, size))
    return TaylorModel(at, terms, Interval(-radius[0], radius[1]))


def place(d):
    """Somewhere in the box, exactly; often at its edges."""
    return [Fraction(float(x)) for x in RNG.choice([-1.0, 1.0, 0.0, RNG.uniform(-1, 1)], d)]


def polynomial(x, at):
    """Of each entry, exactly."""
    i, j = x.coordinates.pairs
    factors = [Fraction(1), *at, *(at[a] * at[b] for a, b in zip(i, j, strict=True))]
    return [
        sum(Fraction(float(c)) * f for c, f in zip(column, factors, strict=True))
        for column in x.terms.T
    ]


def member(x, at):
    """A number that it stands for, of each entry."""
    ends = np.where(RNG.random(x.shape) < 0.5, x.rest.lower, x.rest.upper)
    return [
        p + Fraction(float(end)) for p, end in zip(polynomial(x, at), ends.ravel(), strict=True)
    ]


def assert_holds(found, at, exact):
    for k, (p, number) in enumerate(zip(polynomial(found, at), exact, strict=True)):
        assert Fraction(float(found.rest.lower[k])) <= number - p
        assert number - p <= Fraction(float(found.rest.upper[k]))
        assert Fraction(float(found.lower[k])) <= number <= Fraction(float(found.upper[k]))


OPERATIONS = {
    "sum": (interval.add, lambda a, b: a + b),
    "difference": (interval.subtract, lambda a, b: a - b),
    "product": (interval.multiply, lambda a, b: a * b),
    "square": (lambda a, b: interval.square(a), lambda a, b: a * a),
}


@pytest.mark.parametrize("rest", [0.0, 0.1])
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_arithmetic_holds_in_exact_numbers(name, d, rest):
    operation, exactly = OPERATIONS[name]
    for scale in (1.0, 1e-7):  # of which the second rounds to the size of the terms of the first
        a, b = model(d, 20, rest=rest), model(d, 20, scale, rest)
        found = operation(a, b)
        for _ in range(10):
            at = place(d)
            pairs = zip(member(a, at), member(b, at), strict=True)
            assert_holds(found, at, [exactly(x, y) for x, y in pairs])


def test_with_intervals_and_numbers_it_holds_too():
    a, numbers = model(2, 20), RNG.normal(size=20)
    at = place(2)
    for other in (point(numbers), Interval(numbers - 0.1, numbers + 0.1)):
        exact = [Fraction(float(x)) for x in numbers]
        for operation, exactly in (OPERATIONS["sum"], OPERATIONS["product"]):
            pairs = list(zip(member(a, at), exact, strict=True))
            assert_holds(operation(a, other), at, [exactly(x, y) for x, y in pairs])
            assert_holds(operation(other, a), at, [exactly(x, y) for x, y in pairs])


def test_a_matrix_holds():
    a, weights = model(2, 20), RNG.normal(size=(20, 7))
    found, at = matrix(weights)(a), place(2)
    given = member(a, at)
    exact = [
        sum(x * Fraction(float(w)) for x, w in zip(given, column, strict=True))
        for column in weights.T
    ]
    assert_holds(found, at, exact)


FUNCTIONS = {
    "softplus": (higher_derivatives.SOFTPLUS, lambda x: mpmath.log(1 + mpmath.exp(x))),
    "sigmoid": (higher_derivatives.SIGMOID, lambda x: 1 / (1 + mpmath.exp(-x))),
    "tanh": (higher_derivatives.TANH, mpmath.tanh),
    "silu": (higher_derivatives.SILU, lambda x: x / (1 + mpmath.exp(-x))),
    "gelu": (higher_derivatives.GELU, lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
    "square": (higher_derivatives.SQUARE, lambda x: x * x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_hold_with_their_derivatives(name):
    higher, exactly = FUNCTIONS[name]
    middles = np.array([-30.0, -5, -1.1, -0.3, 0.0, 1e-8, 0.4, 1.3, 2.3, 6, 40])
    with mpmath.workdps(40):
        for scale in (1e-9, 1e-2, 0.3, 2.0):
            x = model(2, len(middles), scale, 0.01)
            x.terms[0] = middles
            found = higher.ranges(x, 2)
            for at in (place(2), place(2)):
                for k, number in enumerate(member(x, at)):
                    y = mpmath.mpf(number.numerator) / number.denominator
                    for order in range(3):
                        exact = mpmath.diff(exactly, y, order) if order else exactly(y)
                        exact = Fraction(str(exact))
                        one = found[order][k : k + 1]
                        # `diff` is off by 1e-13 at 40 digits.
                        slack = Fraction(1, 10**13) if order else 0
                        p = polynomial(one, at)[0]
                        low, high = (
                            Fraction(float(e[0])) for e in (one.rest.lower, one.rest.upper)
                        )
                        assert low - slack <= exact - p <= high + slack, (order, middles[k], scale)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_turn_where_they_are_said_to(name):
    higher, _ = FUNCTIONS[name]
    x = np.linspace(-12, 12, 200_001)
    for order, turns in enumerate(higher.turns, 3):
        y = higher.derivatives(x)[order]
        inside = x[1:-1][(np.diff(y)[:-1] * np.diff(y)[1:] < 0) & (np.abs(y[1:-1]) > 1e-6)]
        assert all(np.abs(np.array(turns) - one).min() < 2e-4 for one in inside)


def test_what_is_not_finite_is_not_known():
    a = model(2, 3)
    a.terms[0, 1] = 1e300
    with np.errstate(over="ignore", invalid="ignore"):
        found = interval.multiply(a, a)
    assert np.isneginf(found.lower[1])
    assert np.isposinf(found.upper[1])
    assert np.isfinite(found.lower[[0, 2]]).all()


def test_held_inputs_take_no_coordinate():
    low, high = np.zeros((2, 5)), np.zeros((2, 5))
    high[:, 3] = 1
    assert box_model(low, high).coordinates.count == 1
    assert box_model(low, low) is None
    assert box_model(np.zeros((1, 9)), np.ones((1, 9))) is None


@pytest.mark.every(2)
@pytest.mark.parametrize("activation", ["softplus", "tanh", "sigmoid", "silu", "gelu"])
def test_networks_are_bounded_more_narrowly(activation):
    if activation == "softplus" and keras.config.backend() == "torch":
        pytest.skip("PyTorch's has a kink: from 20 on it is the number itself")
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(16, activation) for _ in range(3)]
    net = keras.Sequential([keras.Input((3,)), *hidden, layers.Dense(2)])
    with_models = encloser_of(net, bind(net, np.zeros((1, 3)), Options(dtype="float64")))
    assert with_models.is_smooth
    without = dataclasses.replace(with_models, is_smooth=False)
    names = [VALUE, JACOBIAN, HESSIAN]
    for radius, gain in ((1.0, 1.0), (0.1, 1.5), (0.01, 1.0), (1e-6, 1.0)):
        middle = RNG.uniform(-1, 1, (20, 3))
        low, high = middle - radius, middle + radius
        near, far = (one(low, high, names) for one in (with_models, without))
        x = low + RNG.random((20, *low.shape)) * (high - low)
        at = without(x.reshape(-1, 3), x.reshape(-1, 3), names)
        for name in names:
            lower, upper = near[name]
            below, above = (end.reshape(20, *lower.shape) for end in at[name])
            assert (below <= upper).all()
            assert (above >= lower).all()
        widths = [np.median(one[HESSIAN][1] - one[HESSIAN][0]) for one in (near, far)]
        assert widths[0] * gain <= widths[1] * (1 + 1e-9)
