import dataclasses

import numpy as np
import pytest

from closed_forms import parabola, quadratic_form, report
from drawn import line, texts
from keras_curvature import figures
from keras_curvature.measurement import multiscale
from keras_curvature.report.data import ScaleProfile

H = multiscale.DISTANCES


def scale_profile(rms, rounding=1e-12):
    rms = np.broadcast_to(np.asarray(rms, dtype=float), H.shape)
    return ScaleProfile(H, rms / 2, rms, rounding / H**2, 1e8 * rounding / H**2)


def draw(*history, m=None, **changes):
    m = parabola() if m is None else m
    return figures.draw_distances(m, report(**changes), list(history))


def test_curvature_is_drawn_against_distance_on_log_axes():
    m = parabola()
    figure = draw((0, scale_profile(0.5)), (7, scale_profile(H**-0.5)), m=m)
    (axes,) = figure.axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    x, y = line(axes, "epoch 7").get_data()
    np.testing.assert_allclose(x, H * m.input_spread)
    np.testing.assert_allclose(y, H**-0.5 * m.output_spread / m.input_spread**2)
    np.testing.assert_allclose(line(axes, "before training").get_ydata()[0] / y[0], 0.5)
    np.testing.assert_allclose(line(axes, "|mean|").get_ydata(), y / 2)
    assert any(text.startswith("Kinks: ") for text in texts(figure))


def test_of_several_inputs_distances_are_standard_deviations():
    (axes,) = draw((3, scale_profile(1.0)), m=quadratic_form(4)).axes
    np.testing.assert_allclose(line(axes, "epoch 3").get_xdata(), H)
    assert "standard deviations of the inputs" in axes.get_xlabel()


def test_of_many_epochs_some_are_drawn_the_last_one_always():
    (axes,) = draw(*((step, scale_profile(1.0 + step)) for step in range(100))).axes
    steps = [str(one.get_label()) for one in axes.lines]
    assert 5 <= len(steps) <= 9
    assert {"before training", "epoch 99"} <= set(steps)


def test_what_rounding_hides_is_shaded():
    quiet = draw((1, scale_profile(1.0, rounding=1e-30))).axes[0]
    loud = draw((1, scale_profile(1.0, rounding=1e-6))).axes[0]
    assert not quiet.collections
    assert len(loud.collections) == 2  # float32 and float64
    assert any("less than rounding" in text for text in texts(loud.figure))


@pytest.mark.every(3)
@pytest.mark.parametrize("rms", [0.0, np.nan, np.inf, 1e300], ids=str)
def test_odd_numbers_are_drawn_without_a_word(rms, recwarn):
    figure = draw((0, scale_profile(rms)), (1, scale_profile(rms)))
    assert figures.to_png(figure)[:4] == b"\x89PNG"
    assert not recwarn.list


def test_nothing_is_cut_off():
    for theme in figures.THEMES:
        m = parabola()
        shown = report(sentence="word " * 99)
        figure = figures.draw_distances(m, shown, [(999, scale_profile(1.0))], theme=theme)
        figures.to_png(figure)
        for text in figure.axes[0].get_legend().get_texts():
            assert text.get_window_extent().x1 <= figure.bbox.x1


def test_a_scale_is_marked():
    m = dataclasses.replace(parabola(), scale=np.array([0.125]))
    (axes,) = draw((2, scale_profile(1.0)), m=m).axes
    assert line(axes, "h of scale_mean").get_xdata()[0] == pytest.approx(0.125)
