import numpy as np
import pytest

from closed_forms import report
from drawn import texts
from keras_curvature import figures
from keras_curvature.measurement.plane_maps import PlaneMap

AXES = np.stack([np.linspace(0, 2, 5), np.linspace(-1, 1, 5)])
T, X = np.meshgrid(*AXES)


def a_map(name="residual", values=T - X, held=""):
    return PlaneMap(name, ("t", "x"), AXES, held, values)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
def test_each_function_has_a_map_with_names_and_colours_of_its_own(count):
    maps = [a_map(f"residual {i}", 10.0**i * (T - X)) for i in range(count)]
    figure = figures.draw_maps(maps, report())
    figures.to_png(figure)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.images}
    assert list(panels) == [f"residual {i}" for i in range(count)]
    for i, panel in enumerate(panels.values()):
        (image,) = panel.images
        np.testing.assert_array_equal(image.get_array(), 10.0**i * (T - X))
        low, high = image.get_clim()
        assert low == -high
        assert high <= 10.0**i * 3
        assert image.get_extent() == [0, 2, -1, 1]
        assert image.origin == "lower"  # the second input rises upwards
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("t", "x")


def test_the_colours_say_when_they_are_too_few_and_where_other_inputs_are_held():
    peak = np.full((12, 12), 0.1)
    peak[2, 2] = 1.0
    figure = figures.draw_maps([a_map(values=peak, held="y = 0.5")], report())
    shown = " ".join(texts(figure))
    assert "residual: 1 place beyond the colours" in shown
    assert "y = 0.5" in shown


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e300, 0.0])
def test_odd_numbers_are_drawn(number):
    figures.to_png(figures.draw_maps([a_map(values=np.full((5, 5), number))], report()))
