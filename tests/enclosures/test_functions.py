"""Each function of a number against its closed form in 30 digits, and against dense samples."""

import math

import numpy as np
import pytest

from keras_curvature.enclosures import elementary
from keras_curvature.enclosures.interval import Interval

mp = pytest.importorskip("mpmath")


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def softplus(x):
    return mp.log1p(mp.exp(x))


def gelu_by_tanh(x):
    inner = mp.mpf(math.sqrt(2 / math.pi)) * (x + mp.mpf(0.044715) * x**3)
    return x * sigmoid(2 * inner)


TRUTH = {
    "asinh": mp.asinh,
    "atan": mp.atan,
    "cos": mp.cos,
    "cosh": mp.cosh,
    "erf": mp.erf,
    "erfc": mp.erfc,
    "exp": mp.exp,
    "exp2": lambda x: mp.mpf(2) ** x,
    "expm1": mp.expm1,
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "log": mp.log,
    "log10": mp.log10,
    "log1p": mp.log1p,
    "log2": lambda x: mp.log(x, 2),
    "mish": lambda x: x * mp.tanh(softplus(x)),
    "rsqrt": lambda x: 1 / mp.sqrt(x),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "sin": mp.sin,
    "sinh": mp.sinh,
    "softplus": softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "sqrt": mp.sqrt,
    "square": lambda x: x * x,
    "tanh": mp.tanh,
}
FUNCTIONS = {name: (function, TRUTH[name]) for name, function in elementary.SMOOTH.items()} | {
    "elu": (
        elementary.elu(0.7, 1.3, 0.6),
        lambda x: 1.3 * x if x > 0 else mp.mpf(1.3) * mp.mpf(0.7) * mp.expm1(mp.mpf(0.6) * x),
    ),
    "gelu by tanh": (elementary.GELU_BY_TANH, gelu_by_tanh),
    "squareplus": (elementary.squareplus(4.0), lambda x: (x + mp.sqrt(x * x + 4)) / 2),
    "softplus of PyTorch": (
        elementary.thresholded(2.0, 20.0),
        lambda x: softplus(2 * x) / 2 if x < 10 else x,
    ),
    **{
        f"power {p}": (elementary.power(p), lambda x, p=p: x ** (int(p) if p == int(p) else p))
        for p in (-2.0, -1.0, -0.5, 2.5, 3.0, 4.0)
    },
}
POSITIVE = {"log", "log10", "log1p", "log2", "power -0.5", "power 2.5", "rsqrt", "sqrt"}


def drawn(name, count=40):
    """Intervals short and long, on both sides of 0 where the function is."""
    rng = np.random.default_rng(1)
    ends = np.sort(rng.normal(0, 2, (2, count)) * rng.choice([0.1, 1, 5], count), axis=0)
    if name in POSITIVE or name in ("power -1.0", "power -2.0"):
        ends = np.sort(np.abs(ends) + 0.05, axis=0)
    ends[1, ::4] = ends[0, ::4]
    return Interval(*ends)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ranges_hold_the_truth_and_are_narrow(name):
    function, truth = FUNCTIONS[name]
    x = drawn(name)
    ranges = function.ranges(x, 3)
    if np.isinf(ranges[3].upper).all():
        ranges.pop()  # of which nothing is known
    for i in range(0, 40, 4):  # points, where the truth is known in 30 digits
        with mp.workdps(30):
            known = mp.taylor(truth, mp.mpf(float(x.lower[i])), 3)
        for order, range_ in enumerate(ranges):
            y = known[order] * math.factorial(order)
            room = 1e-18 * (1 + abs(y)) if order else 0  # of the differences
            assert range_.lower[i] - room <= y <= range_.upper[i] + room, (order, x.lower[i])
            wide = 2e-9 if "PyTorch" in name else 1e-13
            assert range_.upper[i] - range_.lower[i] <= wide * (1 + abs(y))
    share = np.linspace(0, 1, 2001)[:, None]
    dense = x.lower + share * (x.upper - x.lower)
    for order, range_ in enumerate(ranges):
        inside = function.ranges(Interval(dense, dense), 3)[order]
        lowest, highest = inside.upper.min(axis=0), inside.lower.max(axis=0)
        assert (range_.lower <= lowest).all()
        assert (range_.upper >= highest).all()
        # Narrow: what 2,001 points miss is of second order in their distance, but for a cusp.
        room = (2e-2 if name == "softsign" else 1e-5) * (
            1 + np.abs(range_.upper) + np.abs(range_.lower)
        )
        assert (range_.lower >= lowest - room).all()
        assert (range_.upper <= highest + room).all()


@pytest.mark.parametrize("name", ["log", "sqrt", "rsqrt", "power -1.0", "power 2.5"])
def test_nothing_is_known_at_a_pole_or_beyond_the_domain(name):
    x = Interval(np.array([-1.0, 0.0]), np.array([1.0, 1.0]))
    for range_ in FUNCTIONS[name][0].ranges(x, 2):
        assert np.isneginf(range_.lower).all()
        assert np.isposinf(range_.upper).all()


def test_a_kink_is_bent_without_a_bound_on_its_side():
    x = Interval(np.array([-1.0, 0.0, 0.5]), np.array([1.0, 1.0, 1.0]))
    slope, bend = elementary.RELU.ranges(x, 2)[1:]
    np.testing.assert_array_equal(slope.lower, [0, 0, 1])
    np.testing.assert_array_equal(bend.lower, [0, 0, 0])
    np.testing.assert_array_equal(bend.upper, [np.inf, np.inf, 0])  # at the end of a box, too
    bend = elementary.SELU.ranges(x, 2)[2]
    assert np.isneginf(bend.lower[:2]).all()
