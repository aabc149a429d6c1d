import dataclasses

import numpy as np

from closed_forms import report, saddle
from drawn import texts
from keras_curvature import figures
from keras_curvature.figures.two_inputs import MOST_POINTS


def test_two_inputs_show_maps_of_function_and_laplacian():
    m = saddle(names=("width", "height"))
    figure = figures.draw(m, report())
    maps, bars = figure.axes[:3], figure.axes[3:]
    points = [axes.collections[-1] for axes in maps]
    inside = m.inside.all(axis=1)
    assert 0 < inside.sum() < len(inside)
    for found, expected in zip(
        points,
        (m.value[:, 0], m.laplacian[:, 0], m.scale_diagonal.sum(2)[inside, 0]),
        strict=True,
    ):
        np.testing.assert_allclose(np.asarray(found.get_array()), expected)
    _, exact, at_scale = (found.norm for found in points)
    assert (exact.vmin, exact.vmax) == (at_scale.vmin, at_scale.vmax)
    assert exact.vmin == -exact.vmax
    assert (maps[0].get_xlabel(), maps[0].get_ylabel()) == ("width", "height")
    assert [bar.get_xlabel() for bar in bars] == ["y", "∂²y/∂width² + ∂²y/∂height²  [y/x²]"]


def test_the_means_are_those_of_the_headline_wherever_windows_leave_the_range():
    """Windows leave the range along one input where they do not along the other."""
    m = saddle(3000)
    m = dataclasses.replace(m, scale_diagonal=m.scale_diagonal + m.x[:, None] ** 2)
    headline = m.averages()
    inside_both = m.scale_diagonal.sum(axis=2)[m.inside.all(axis=1)].mean()
    assert abs(inside_both / headline["scale_mean"] - 1) > 0.05
    titles = [axes.get_title(loc="left") for axes in figures.draw(m, report()).axes[1:3]]
    assert titles == [
        f"Laplacian, exact: mean {headline['mean']:.3g}",
        f"Laplacian over ± h: mean {headline['scale_mean']:.3g}",
    ]


def test_the_sum_along_two_inputs_is_in_the_units_of_the_headline():
    m = saddle(300)
    m = dataclasses.replace(m, input_spread=m.input_spread * [1, 100])
    figure = figures.draw(m, report(units="std"))
    mean = m.in_units("std").averages()["mean"]
    assert figure.axes[1].get_title(loc="left") == f"Laplacian, exact: mean {mean:.3g}"
    assert figure.axes[-1].get_xlabel() == "∂²y/∂x0² + ∂²y/∂x1²  [σy/σx²]"


def test_points_of_a_map_are_small_and_of_its_colour():
    (function, *_) = figures.draw(saddle(), report()).axes
    points = function.collections[-1]
    assert points.get_sizes().max() <= 4
    assert points.get_array() is not None


def test_the_colours_say_when_they_are_too_few():
    m = saddle()
    calm = np.ones_like(m.diagonal)
    one = calm.copy()
    one[0] = 50.0
    for diagonal, extend in ((calm, "neither"), (one, "both")):
        changed = dataclasses.replace(m, diagonal=diagonal, scale_diagonal=calm)
        figure = figures.draw(changed, report())
        assert figure.axes[1].collections[-1].colorbar.extend == extend
        beyond = any("1 value beyond the colours" in text for text in texts(figure))
        assert beyond == (extend == "both")


def test_a_map_takes_no_more_points_than_it_can_show():
    figure = figures.draw(saddle(5000), report())
    assert len(figure.axes[0].collections[-1].get_array()) == MOST_POINTS
    assert any("5000 points, 2000 shown" in text for text in texts(figure))
