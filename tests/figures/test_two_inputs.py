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
    assert [bar.get_xlabel() for bar in bars] == ["y", "∂²y/∂x₁² + ∂²y/∂x₂²  [y/x²]"]


def test_a_map_takes_no_more_points_than_it_can_show():
    figure = figures.draw(saddle(5000), report())
    assert len(figure.axes[0].collections[-1].get_array()) == MOST_POINTS
    assert any("5000 points, 2000 shown" in text for text in texts(figure))
