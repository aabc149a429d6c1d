"""Directions for partial derivatives, and the arithmetic of power series along them."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from keras_curvature.engines.api import xp
from keras_curvature.engines.taylor import elementwise, softmax_series
from keras_curvature.engines.taylor.interpolation import bilaplacian, plan
from keras_curvature.engines.taylor.series import Orders, Series

RNG = np.random.default_rng(7)


def all_partials(width, highest):
    for order in range(1, highest + 1):
        yield from itertools.combinations_with_replacement(range(width), order)


def along(monomial, direction):
    """The derivative of order `p` of a monomial of degree `p` along a direction: `p! Π v_i`."""
    return math.factorial(len(monomial)) * math.prod(direction[i] for i in monomial)


def of_monomial(monomial):
    """Its partial derivative by its own inputs."""
    return math.prod(math.factorial(count) for count in Counter(monomial).values())


# Directions


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_partial_derivatives_of_monomials(width, together):
    """A derivative of order `p` is one number for each monomial of that degree."""
    wanted = [*all_partials(width, 4)]
    plans = [plan(wanted, width)] * len(wanted) if together else [plan([p], width) for p in wanted]
    for partial, planned in zip(wanted, plans, strict=True):
        order, weights = planned.weights[partial]
        assert order == len(partial)
        assert len(weights) == planned.counts[order - 1]
        for monomial in itertools.combinations_with_replacement(range(width), order):
            found = sum(
                weight * along(monomial, direction)
                for weight, direction in zip(weights, planned.directions, strict=False)
            )
            right = of_monomial(monomial) if monomial == partial else 0
            assert found == pytest.approx(right, abs=1e-12), (partial, monomial)


@pytest.mark.parametrize(
    ("partials", "counts"),
    [
        ([(0, 0, 0, 0)], (1, 1, 1, 1)),
        ([(0, 0), (1, 1)], (2, 2)),
        ([(0, 0), (0, 1), (1, 1)], (3, 3)),
        ([(0, 1)], (2, 2)),
        ([(0, 0, 1)], (3, 3, 3)),
        ([(0, 1, 2)], (4, 4, 4)),
        ([(0, 0, 1, 1)], (4, 4, 4, 4)),
        ([(0, 1, 2, 3)], (8, 8, 8, 8)),
        ([(0,), (1,), (2, 2, 2)], (3, 1, 1)),
        ([(0,), (0, 0, 0)], (1, 1, 1)),
    ],
)
def test_few_directions(partials, counts):
    planned = plan(partials, 4)
    assert planned.counts == counts
    assert planned.directions.shape == (counts[0], 4)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7])
def test_biharmonic_directions(width):
    """`Σ w (v·x)⁴ = |x|⁴`: what has that symbol is the Laplacian's square."""
    directions, weights = bilaplacian(width)
    for x in np.concatenate([np.eye(width), RNG.normal(size=(20, width))]):
        assert weights @ (directions @ x) ** 4 == pytest.approx((x @ x) ** 2, rel=1e-12)


@pytest.mark.parametrize(("width", "count"), [(1, 1), (2, 3), (3, 6), (4, 12), (5, 25)])
def test_few_directions_for_the_biharmonic_operator(width, count):
    assert len(bilaplacian(width)[1]) == count


# Arithmetic

ORDERS = {
    "alike": Orders((3, 3, 3, 3)),
    "some_go_further": Orders((4, 3, 2, 1)),
    "summed": Orders((3, 3, 2, 2), np.array([[0.5, -2.0]])),
    "summed_alike": Orders((2, 2, 2, 2), np.array([[0.5, 0.5]])),
    "two_sums": Orders((3, 3, 3), np.array([[1.0, -2.0, 0.25], [0.5, 0.0, 3.0]])),
}

SHAPE = (2, 3)


def drawn(orders, positive=False, gaps=()):
    """A series, and for each direction its polynomial, `(directions, order, *shape)`."""
    value = RNG.uniform(0.5, 2.0, SHAPE) * (1 if positive else RNG.choice([-1, 1], SHAPE))
    known = RNG.normal(size=(orders.counts[0], orders.highest + 1, *SHAPE))
    known[:, 0] = value
    stacks = []
    for order, count in enumerate(orders.counts, 1):
        known[count:, order] = 0
        if order in gaps:
            known[:, order] = 0
            stacks.append(None)
            continue
        stacks.append(summed(orders, known[:count, order], order))
    tensors = [None if s is None else xp.constant(s) for s in stacks]
    return Series(orders, xp.constant(value), tensors), known


def summed(orders, stack, order):
    if order < orders.highest or orders.weights is None:
        return stack
    return np.einsum("ws,s...->w...", orders.weights, stack)


def times(a, b):
    """The products of polynomials, cut off."""
    found = np.zeros_like(a)
    for i, j in itertools.product(range(a.shape[1]), repeat=2):
        if i + j < a.shape[1]:
            found[:, i + j] += a[:, i] * b[:, j]
    return found


def composed(derivatives, a):
    """A function of each number, by its coefficients at the value."""
    rest = a.copy()
    rest[:, 0] = 0
    total, power = np.zeros_like(a), np.zeros_like(a)
    power[:, 0] = 1
    for coefficient in derivatives:
        total += coefficient * power
        power = times(power, rest)
    return total


def inverse(a):
    return composed([(-1) ** k / a[0, 0] ** (k + 1) for k in range(a.shape[1])], a)


def exponential(a):
    return composed([np.exp(a[0, 0]) / math.factorial(k) for k in range(a.shape[1])], a)


def check(series, known, value=True):
    orders = series.orders
    if value:
        np.testing.assert_allclose(xp.to_numpy(series.value), known[0, 0], rtol=1e-14)
    for order, count in enumerate(orders.counts, 1):
        right = summed(orders, known[:count, order], order)
        stack = series[order]
        found = np.zeros_like(right) if stack is None else xp.to_numpy(stack)
        np.testing.assert_allclose(found, right, rtol=1e-11, atol=1e-12 * np.abs(known).max())


@pytest.fixture(params=ORDERS)
def orders(request):
    return ORDERS[request.param]


@pytest.mark.parametrize("gaps", [(), (1,), (2, 3)], ids=["full", "no_first", "no_middle"])
def test_arithmetic(orders, gaps):
    (a, p), (b, q) = drawn(orders, gaps=gaps), drawn(orders)
    check(a + b, p + q)
    check(-a, -p)
    check(a - b, p - q)
    check(a * b, times(p, q))
    check(a * a, times(p, p))
    check(a / b, times(p, inverse(q)))
    check(b.reciprocal(), inverse(q))
    check(a.map(lambda stack: 2 * stack, 2 * a.value), 2 * p)


def test_a_function_of_a_series(orders):
    a, p = drawn(orders)
    taylor = [xp.exp(a.value) / math.factorial(k) for k in range(orders.highest + 1)]
    check(a.through(taylor), exponential(p))


def test_constants_are_series(orders):
    (a, p), value = drawn(orders), RNG.uniform(1, 2, SHAPE)
    constant = Series(orders, xp.constant(value))
    check(a * constant, p * value)
    check(a / constant, p / value)
    assert all(c is None for c in (constant * constant).coefficients)


def test_what_is_broadcast_is_stretched(orders):
    wide, p = drawn(orders)
    narrow = wide.map(lambda stack: stack[..., :1], wide.value[..., :1]).stretched(wide.value)
    check(wide * narrow, times(p, np.repeat(p[..., :1], SHAPE[-1], axis=-1)))


def test_powers(orders):
    a, p = drawn(orders, positive=True)
    logarithm = composed(
        [np.log(p[0, 0]), *((-1) ** (k + 1) / k / p[0, 0] ** k for k in range(1, p.shape[1]))], p
    )
    constant = Series(orders, xp.constant(np.array(2.5)))
    check(elementwise.power_series(a, constant), exponential(2.5 * logarithm))
    (b, q) = drawn(orders)
    check(elementwise.power_series(a, b), exponential(times(q, logarithm)))
    check(elementwise.product_with_log(b, a), times(q, logarithm))


def test_whole_powers_of_what_is_0_or_negative(orders):
    a, p = drawn(orders)
    a = Series(orders, 0 * a.value, a.coefficients)
    p[:, 0] = 0
    three = Series(orders, xp.constant(np.array(3.0)))
    check(elementwise.power_series(a, three), times(p, times(p, p)))


def test_squares_of_differences(orders):
    (a, p), (b, q) = drawn(orders), drawn(orders)
    check(elementwise.square_of_difference(a, b), times(p - q, p - q))


@pytest.mark.parametrize("scale", [1, 1e-160, 1e160])
def test_angles(orders, scale):
    """Against `b = r sin(φ)`, `a = r cos(φ)` of a series φ."""
    radius, _ = drawn(orders, positive=True)
    angle, known = drawn(orders)
    sides = []
    for turn in (0, math.pi / 2):
        turns = known[0, 0] + turn + np.arange(orders.highest + 1)[:, None, None] * math.pi / 2
        taylor = [xp.constant(np.sin(t) / math.factorial(k)) for k, t in enumerate(turns)]
        side = radius * angle.through(taylor)
        sides.append(side.map(lambda c: scale * c, scale * side.value))
    check(elementwise.angle_series(*sides), known, value=False)


@pytest.mark.parametrize("rate", [1, math.log(2)])
@pytest.mark.parametrize("apart", [0, 40, -40])
def test_logarithms_of_sums(orders, rate, apart):
    (a, p), (b, q) = drawn(orders), drawn(orders)
    b, q = Series(orders, b.value + apart, b.coefficients), q.copy()
    q[:, 0] += apart
    total = exponential(rate * p) + exponential(rate * q)
    logarithm = composed(
        [0 * total[0, 0], *((-1) ** (k + 1) / k / total[0, 0] ** k for k in range(1, 5))], total
    )
    check(elementwise.log_of_sum(rate)(a, b), logarithm / rate, value=False)


def _softmax(z):
    weights = exponential(z)
    return times(weights, inverse(np.broadcast_to(weights.sum(-1, keepdims=True), weights.shape)))


def test_softmax(orders):
    z, known = drawn(orders)
    right = _softmax(known)
    p = xp.constant(right[0, 0])

    def deviation(stack):
        return stack - xp.sum(p * stack, axis=-1, keepdims=True)

    u = z.map(deviation, z.value)
    check(softmax_series.softmax_series(u, p, -1), right)
    logarithm = composed(
        [
            np.log(right[0, 0]),
            *((-1) ** (k + 1) / k / right[0, 0] ** k for k in range(1, right.shape[1])),
        ],
        right,
    )
    check(softmax_series.log_softmax_series(u, p, xp.log(p), -1), logarithm)
