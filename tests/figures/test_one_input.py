import dataclasses

import numpy as np

from closed_forms import everywhere, kinked, measurement, parabola, report, some
from drawn import line, texts
from keras_curvature import figures
from keras_curvature.figures.one_input import running_mean

KNOWN = np.full((101, 1, 1), 2.0)


def test_one_input_shows_function_slope_and_curvature_against_x():
    m = parabola(target=parabola().x ** 2 + 0.1, known=KNOWN)
    function, slope, curvature = figures.draw(m, report()).axes
    x = np.sort(m.x[:, 0])
    for axes, label, y in (
        (function, "model", x**2),
        (function, "data", x**2 + 0.1),
        (slope, "exact", 2 * x),
        (curvature, "exact", 2 + 0 * x),
        (curvature, "known", 2 + 0 * x),
    ):
        np.testing.assert_allclose(line(axes, label).get_xydata(), np.stack([x, y], 1))
    assert function.get_shared_x_axes().joined(function, curvature)
    assert line(curvature, "known").get_linestyle() == "--"
    titles = [axes.get_title(loc="left") for axes in (function, slope, curvature)]
    assert titles == ["Function", "Slope ∂y/∂x", "Curvature ∂²y/∂x²"]
    assert [axes.get_ylabel() for axes in (slope, curvature)] == ["[y/x]", "[y/x²]"]
    assert curvature.get_xlabel() == "x"


def test_a_network_with_kinks_reads_0_exactly_and_2_over_a_distance():
    m = kinked()
    curvature = figures.draw(m, report()).axes[2]
    exact, over = line(curvature, "exact"), line(curvature, "over")
    assert exact.get_label() == "exact, mean 0"
    mean = m.scale_diagonal[m.inside[:, None]].mean()
    assert over.get_label() == f"over ± {m.scale[0]:.3g}, mean {mean:.3g}"
    assert not exact.get_ydata().any()
    # The line over the noise of single points is quieter than they are.
    assert np.abs(over.get_ydata() - 2).max() < np.abs(m.scale_diagonal - 2).max() / 1.5
    low, high = curvature.get_ylim()
    assert low < 0 < 2 < high


def test_points_whose_window_leaves_the_range_are_fainter():
    m = parabola()
    dots = [line for line in figures.draw(m, report()).axes[2].lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [(~m.inside).sum(), m.inside.sum()]
    assert dots[0].get_alpha() < dots[1].get_alpha()


def test_running_mean_is_that_of_the_points_in_the_window():
    x = np.repeat(np.arange(25) / 64, 2)  # so that points lie on the edges of windows
    y = np.random.default_rng(0).normal(size=50)
    expected = [y[np.abs(x - at) <= 3 / 64].mean() for at in x]
    np.testing.assert_allclose(running_mean(x, y, 3 / 64), expected)


def test_one_extreme_point_does_not_flatten_the_rest_and_is_told():
    m = kinked()
    m.scale_diagonal[np.argmax(m.inside), 0, 0] = 1e6
    figure = figures.draw(m, report())
    assert figure.axes[2].get_ylim()[1] < 100
    assert any("1 points lie beyond the axes" in text for text in texts(figure))


def test_rounding_noise_of_a_straight_line_looks_flat():
    m = parabola()
    noise = np.random.default_rng(0).normal(size=(101, 1, 1)) * 1e-7
    figure = figures.draw(dataclasses.replace(m, diagonal=noise, scale_diagonal=noise), report())
    low, high = figure.axes[2].get_ylim()
    assert high - low > 0.01 * m.output_spread[0] / m.input_spread[0] ** 2


def test_output_index_chooses_the_component():
    x = np.linspace(0, 1, 20)[:, None]
    ones = np.ones((20, 2, 1))
    m = measurement(x, np.c_[x, 3 * x], ones * [[1], [3]], np.zeros((20, 2, 1, 1)))
    figure = figures.draw(m, report(), output_index=1)
    np.testing.assert_allclose(line(figure.axes[1], "exact").get_ydata(), 3.0)
    assert "Epoch 3 · component 1 of 2" in texts(figure)


def test_the_widest_legend_leaves_the_title_readable():
    m = parabola(known=KNOWN)
    m = dataclasses.replace(m, scale=1.234e-5 * m.scale, diagonal=-1.234e5 * m.diagonal,
                            scale_diagonal=-1.234e5 * m.scale_diagonal)  # fmt: skip
    figure = figures.draw(m, report())
    figures.to_png(figure)
    axes = figure.axes[2]
    title = axes._left_title.get_window_extent()
    assert title.x1 < axes.get_legend().get_window_extent().x0


def test_points_that_are_not_finite_are_counted():
    m = everywhere(parabola(), np.nan)
    low, high = figures.draw(m, report()).axes[2].get_xlim()
    assert -0.1 < low < 0 < 1 < high < 1.1
    figure = figures.draw(some(parabola(), np.nan), report())
    assert any("101 points · 34 with a second derivative that" in t for t in texts(figure))
