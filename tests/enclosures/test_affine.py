"""Affine forms hold what they stand for at every point of their boxes."""

import numpy as np
import pytest

from keras_curvature.enclosures import elementary
from keras_curvature.enclosures.affine import Affine, Chords, of_interval
from keras_curvature.enclosures.functions import Function
from keras_curvature.enclosures.interval import Interval
from keras_curvature.enclosures.linear_map import matrix

RNG = np.random.default_rng(0)
BOXES, INPUTS, SIZE = 5, 2, 3


def drawn():
    """Without an error, so that it is a function of the inputs."""
    center, slopes = RNG.normal(size=(BOXES, SIZE)), RNG.normal(size=(BOXES, INPUTS, SIZE))
    radius = np.broadcast_to([[0.5, 1.5]], (BOXES, INPUTS))
    return Affine(center, slopes, np.zeros((BOXES, SIZE)), radius)


def at(form, corner):
    """Its value, without its error, at a place from -1 to 1 of each input."""
    return form.center + np.einsum("bis,bi,i->bs", form.slopes, form.radius, corner)


CORNERS = [np.array([i, j]) for i in (-1, 0.3, 1) for j in (-1, -0.4, 1)]
OPERATIONS = {
    "product": (lambda a, b: a.product(b), lambda x, y: x * y),
    "square": (lambda a, b: a.square(), lambda x, y: x * x),
    "sum": (lambda a, b: a.plus(b), lambda x, y: x + y),
    "multiple": (lambda a, b: a.times(np.full((1, SIZE), -3.0)), lambda x, y: -3 * x),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_err_by_no_more_than_they_say(name):
    ours, exact = OPERATIONS[name]
    a, b = drawn(), drawn()
    found = ours(a, b)
    bounds = found.bounds()
    for corner in CORNERS:
        y = exact(at(a, corner), at(b, corner))
        assert (np.abs(y - at(found, corner)) <= found.error + 1e-13).all()
        assert ((bounds.lower <= y) & (y <= bounds.upper)).all()


def test_a_matrix_takes_errors_on():
    a = of_interval(Interval(np.full((1, 2), -1.0), np.ones((1, 2))), np.ones((1, 1)))
    bounds = matrix(np.array([[2.0], [-3.0]])).form(a).bounds()
    np.testing.assert_allclose([bounds.lower[0, 0], bounds.upper[0, 0]], [-5, 5], rtol=1e-12)


FUNCTIONS = {
    name: function for name, function in elementary.SMOOTH.items() if isinstance(function, Function)
} | {"relu": elementary.RELU, "elu": elementary.elu(), "selu": elementary.SELU}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lines_are_as_near_to_a_function_as_they_say(name):
    function = FUNCTIONS[name]
    low = RNG.normal(size=20) * 2
    low = np.abs(low) + 0.05 if np.isfinite(function.domain[0]) else low
    x = Interval(low, low + RNG.choice([1e-3, 0.3, 3.0], 20))
    chords = Chords(function, x, function.ranges(x, 3))
    middle, radius = (x.lower + x.upper) / 2, (x.upper - x.lower) / 2
    u = Affine(middle, np.ones((20, 1)), np.zeros(20), radius[:, None])
    for order in range(3):
        with np.errstate(invalid="ignore", divide="ignore"):  # of lines that are not taken
            form = chords.of(order, u)
        for share in np.linspace(-1, 1, 101):
            z = np.clip(middle + share * radius, x.lower, x.upper)
            y = function.derivatives[order](z)
            near = form.center + form.slopes[:, 0] * (z - middle)
            room = 1e-12 * (1 + np.abs(y))
            assert (np.abs(y - near) <= form.error + room).all(), (order, share)
