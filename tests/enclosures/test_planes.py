"""Bounds that follow a plane hold the number, and the share on one side is never too large."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import keras
import numpy as np
import pytest

import keras_curvature as kc
from keras_curvature.enclosures.encloser import encloser
from keras_curvature.enclosures.planes import LEAST, share_above
from keras_curvature.engines.api import Options
from keras_curvature.engines.quantities import partial_name

RNG = np.random.default_rng(5)


def exact_share(slopes, constant):
    """By inclusion and exclusion of the corners, in rational numbers."""
    slopes = [abs(Fraction(float(slope))) for slope in slopes if slope]
    constant = Fraction(float(constant))
    if not slopes:
        return Fraction(int(constant > 0))
    corners = Fraction(0)
    for signs in itertools.product((-1, 1), repeat=len(slopes)):
        at = constant + sum(sign * slope for sign, slope in zip(signs, slopes, strict=True))
        corners += math.prod(signs) * max(at, Fraction(0)) ** len(slopes)
    return corners / (math.factorial(len(slopes)) * math.prod(2 * slope for slope in slopes))


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_the_share_is_right_and_not_too_large(d, size):
    slopes = RNG.normal(size=(200, d))
    constant = RNG.normal(size=200) * d / 2
    found = share_above(size * slopes, size * constant)
    wide = (np.abs(slopes) > LEAST * np.abs(slopes).max(axis=1, keepdims=True)).all(axis=1)
    assert wide.sum() > 100
    for row, (share, is_wide) in enumerate(zip(found, wide, strict=True)):
        exact = exact_share(size * slopes[row], size * constant[row])
        assert share <= exact
        assert not is_wide or share >= exact - Fraction(1, 10**6)


@pytest.mark.parametrize("d", [2, 4, 6])
def test_small_slopes_make_it_smaller_and_not_by_much(d):
    slopes = RNG.normal(size=(200, d))
    slopes[:, 1:] *= 10.0 ** RNG.uniform(-320, -1, size=(200, d - 1))
    constant = RNG.normal(size=200)
    for share, *of in zip(share_above(slopes, constant), slopes, constant, strict=True):
        exact = exact_share(*of)
        # Of a slope that is made larger, by twice the least one at most.
        assert exact - Fraction(2 * d * LEAST) <= share <= exact


@pytest.mark.parametrize(
    ("slopes", "constant", "share"),
    [
        ([0, 0], 1e-300, 1),
        ([0, 0], 0, 0),  # it may be the limit itself
        ([0, 0], -1, 0),
        ([1, 0], 0, 0.5),
        ([1, 1], 2, 1),
        ([1, 1], -2, 0),
        ([1, 1], -np.inf, 0),
        ([1, np.nan], 0, 0),
        ([np.inf, 1], 0, 0),
    ],
)
def test_edges(slopes, constant, share):
    (found,) = share_above(np.array([slopes], float), np.array([constant], float))
    assert share - 1e-6 <= found <= share


def net(activation):
    keras.utils.set_random_seed(3)
    hidden = [keras.layers.Dense(8, activation) for _ in range(2)]
    return keras.Sequential([keras.Input((3,)), *hidden, keras.layers.Dense(1)])


@pytest.mark.every(3)
@pytest.mark.parametrize("activation", ["tanh", "softplus", "sigmoid"])
@pytest.mark.parametrize("by", [(0,), (1, 1), (0, 2)], ids=str)
@pytest.mark.parametrize("held", [False, True], ids=["", "one is held"])
def test_a_derivative_lies_between_its_planes(activation, by, held):
    model = net(activation)
    low = RNG.uniform(-1, 1, size=(5, 3))
    radius = 10.0 ** RNG.uniform(-4, 0, size=(5, 1)) * np.array([1, 1, 0 if held else 1])
    high = low + 2 * radius
    enclose = encloser(model, low[:1].astype("float32"), Options(dtype="float64"))
    found = []
    bounds = enclose(low, high, [partial_name(by)], planes=found)[partial_name(by)]
    (planes,) = found
    t = RNG.uniform(-1, 1, size=(300, 1, 3))
    t[:100] = np.sign(t[:100])
    points = low + (t + 1) / 2 * (high - low)
    true = kc.derivatives(model, points.reshape(-1, 3), {"d": by}, dtype="float64")["d"]
    true = keras.ops.convert_to_numpy(true).reshape(300, 5)
    at = (planes.slopes * t).sum(axis=-1)
    slack = 1e-12 * np.abs(true).max()  # of the derivatives and the points as they are computed
    assert (at + planes.lower <= true + slack).all()
    assert (true <= at + planes.upper + slack).all()
    # They are narrower than a box where this is small, and not made of what is known besides.
    narrow = radius[:, 0] < 0.03
    assert narrow.any()
    gap, width = planes.upper - planes.lower, (bounds[1] - bounds[0])[:, 0]
    assert (gap[narrow] < 0.5 * width[narrow]).all()
