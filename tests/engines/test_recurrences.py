"""Power series of functions of one number, against derivatives with fifty digits."""

from __future__ import annotations

import numpy as np
import pytest

from keras_curvature.engines.taylor import recurrences

mp = pytest.importorskip("mpmath")  # PyTorch brings it along

EVERYWHERE = (-30.0, -16.0, -2.5, -0.3, 0.0, 1e-3, 0.7, 4.0, 16.0, 30.0)
MODERATE = (-2.5, -0.3, 0.0, 1e-3, 0.7, 4.0)
POSITIVE = (1e-3, 0.3, 1.0, 2.5, 40.0)
WITHIN_ONE = (-0.9, -0.3, 0.0, 1e-3, 0.7)
AWAY_FROM_ZERO = (-4.0, -0.3, 1e-3, 0.7, 5.0)


def _inverse_normal(x):
    return mp.sqrt(2) * mp.erfinv(2 * x - 1)


SERIES = {
    "arcsine": (mp.asin, WITHIN_ONE),
    "arcsine[acos]": (mp.acos, WITHIN_ONE),
    "arcsinh": (mp.asinh, EVERYWHERE),
    "arcsinh[acosh]": (mp.acosh, (1.1, 1.7, 5.0, 30.0)),
    "arctan": (mp.atan, EVERYWHERE),
    "arctanh": (mp.atanh, WITHIN_ONE),
    "error_function": (mp.erf, MODERATE),
    "error_function[erfc]": (mp.erfc, (*MODERATE, 9.0)),
    "exponential": (mp.exp, EVERYWHERE),
    "exponential_below": (lambda x: mp.expm1(x) if x < 0 else x, (-30.0, -2.5, -1e-3, 1e-3, 5.0)),
    "exponential_integral": (mp.ei, (0.3, 1.5, 4.0)),
    "exponential_slope": (mp.expm1, EVERYWHERE),
    "hyperbolic": (mp.cosh, EVERYWHERE),
    "hyperbolic[sinh]": (mp.sinh, EVERYWHERE),
    "inverse_error_function": (mp.erfinv, WITHIN_ONE),
    "inverse_normal": (_inverse_normal, (0.01, 0.3, 0.5, 0.9)),
    "logarithm": (mp.log, POSITIVE),
    "logarithm[log1p]": (mp.log1p, (-0.9, -0.3, 0.0, 1e-3, 5.0)),
    "oscillating": (mp.sin, EVERYWHERE),
    "oscillating[cos]": (mp.cos, EVERYWHERE),
    "reciprocal": (lambda x: 1 / x, AWAY_FROM_ZERO),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), POSITIVE),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), EVERYWHERE),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), EVERYWHERE),
    "softsign": (lambda x: x / (1 + abs(x)), AWAY_FROM_ZERO),
    "sqrt": (mp.sqrt, POSITIVE),
    "square": (lambda x: x * x, MODERATE),
    "tan": (mp.tan, (-1.3, -0.3, 0.0, 1e-3, 0.7)),
    "tanh": (mp.tanh, EVERYWHERE),
}
"""Name -> function, and where; in brackets which of several functions of one equation."""

BASES = {
    "to_the_base": (2.0, lambda x: mp.mpf(2) ** x, MODERATE),
    "logarithm_to_the_base": (10.0, mp.log10, POSITIVE),
}

ULPS = 32
"""A coefficient is a sum of some ten products of what is rounded, in which little cancels."""

HIGHEST = 4


def coefficients(function, x):
    """Exact ones, of the number that `x` is."""
    with mp.workdps(60):
        point = mp.mpf(float(x))
        return [mp.diff(function, point, k) / mp.factorial(k) for k in range(HIGHEST + 1)]


def solved(solution, truth, x, dtype):
    """By the recurrence, from the value and the derivatives rounded."""
    x, y, first, second = (
        np.array([float(number)], dtype) for number in (x, truth[0], truth[1], 2 * truth[2])
    )
    found = solution(x, y, first, second)
    return [float(np.asarray(found[k] + 0 * x)[0]) for k in range(HIGHEST + 1)]


def scale(truth, k):
    """What errors are relative to: where a coefficient passes 0 its neighbours are not small."""
    return max(abs(truth[k]), abs(truth[k - 1]) / 16 if k > 1 else 0)


def check(solution, function, points, dtype):
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    for x in np.array(points, dtype):
        truth = coefficients(function, x)
        found = solved(solution, truth, x, dtype)
        for k in (3, HIGHEST):
            error = abs(found[k] - truth[k])
            assert error <= ULPS * eps * scale(truth, k) + tiny, (x, k, found[k], truth[k])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SERIES)
def test_series_are_right(name, dtype):
    function, points = SERIES[name]
    check(getattr(recurrences, name.partition("[")[0]), function, points, dtype)


@pytest.mark.parametrize("name", BASES)
def test_series_to_a_base_are_right(name):
    base, function, points = BASES[name]
    check(getattr(recurrences, name)(base), function, points, "float64")


def test_derivatives_of_any_function_make_a_series():
    solution = recurrences.of_derivatives(lambda k, x: np.exp(x) * (x + k))
    check(solution, lambda x: x * mp.exp(x), (-1.5, 0.3, 2.0), "float64")


def test_every_series_is_tested():
    known = {
        name
        for name, value in vars(recurrences).items()
        if callable(value) and not name.startswith("_") and value.__module__ == recurrences.__name__
    }
    apart = {"Recurrence", "itself", "of_derivatives"}
    assert known - apart == {name.partition("[")[0] for name in SERIES} | set(BASES)
