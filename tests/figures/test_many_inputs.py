import dataclasses

import numpy as np
import pytest

from closed_forms import everywhere, features_of, pairs_of, quadratic_form, report, with_two_values
from drawn import texts
from keras_curvature import figures
from keras_curvature.report.metrics import MOST_FEATURES


def test_more_inputs_show_bars_most_curved_first_and_a_heat_map():
    m = quadratic_form(4, names=["age", "bmi", "bp", "s1"])
    features = features_of(m)
    pairs = pairs_of(m)
    figure = figures.draw(m, report(features, interactions=pairs))
    bars, heat = figure.axes[:2]
    order = np.argsort([-value for value in features.values()])
    names = [m.feature_names[i] for i in order]
    assert [t.get_text() for t in bars.get_yticklabels()] == names
    assert [t.get_text() for t in heat.get_xticklabels()] == names
    exact, at_scale = bars.containers
    np.testing.assert_allclose(exact.datavalues, [features[name] for name in names])
    # The function is quadratic: over a distance it is as curved as at a point.
    np.testing.assert_allclose(at_scale.datavalues, exact.datavalues)
    np.testing.assert_allclose(heat.images[0].get_array(), pairs[np.ix_(order, order)])
    written = [t.get_text() for t in heat.texts]
    assert written == [f"{v:.2g}" for v in pairs[np.ix_(order, order)].ravel()]
    assert "[σy/σx²]" in bars.get_xlabel()


@pytest.mark.parametrize("size", [1e-7, 2.17e-3, 1.0, 3e5])
def test_numbers_of_any_size_leave_room_for_the_label_beside_them(size):
    m = quadratic_form(33)
    pairs = pairs_of(m)
    interactions = pairs * size / pairs.max()
    figure = figures.draw(m, report(features_of(m), interactions=interactions))
    figure.canvas.draw()
    label = figure.axes[-1].yaxis.label
    assert "mean" in label.get_text()
    assert label.get_window_extent().x1 <= figure.bbox.x1


def test_kinks_show_as_bars_at_the_scale_beside_exact_zeros():
    m = quadratic_form(4)
    flat = dataclasses.replace(m, diagonal=0 * m.diagonal, hessian=0 * m.hessian)
    figure = figures.draw(flat, report(features_of(flat), interactions=pairs_of(flat)))
    exact, at_scale = figure.axes[0].containers
    assert not np.any(exact.datavalues)
    assert np.all(at_scale.datavalues > 0)
    assert not figure.axes[1].images
    assert any("All curvature sits in kinks" in text for text in texts(figure))


def test_points_outside_do_not_count_in_the_bars():
    m = quadratic_form(3)
    m.scale_diagonal[:, 0][~m.inside] = 1e3
    figure = figures.draw(m, report(features_of(m)))
    exact, at_scale = figure.axes[0].containers
    np.testing.assert_allclose(at_scale.datavalues, exact.datavalues)


def test_many_inputs_name_the_most_curved_and_say_how_many_are_omitted():
    m = quadratic_form(30)
    features = features_of(m)
    figure = figures.draw(m, report(features, interactions=pairs_of(m)))
    bars, heat = figure.axes[:2]
    assert len(bars.get_yticklabels()) == MOST_FEATURES
    assert "10 of 30 omitted" in bars.get_title(loc="left")
    assert not heat.texts


def test_an_input_that_only_interacts_is_not_omitted():
    m = quadratic_form(30)
    pairs = pairs_of(m)
    pairs[29, 0] = pairs[0, 29] = 99
    features = features_of(m) | {"x29": 0.0}
    at_scale = m.scale_diagonal.copy()
    at_scale[..., 29] = 0
    m = dataclasses.replace(m, scale_diagonal=at_scale)
    bars = figures.draw(m, report(features, interactions=pairs)).axes[0]
    assert "x29" in [t.get_text() for t in bars.get_yticklabels()]


def test_without_a_hessian_words_stand_in_the_place_of_the_heat_map():
    m = dataclasses.replace(quadratic_form(100), hessian=None)
    figure = figures.draw(m, report(features_of(m)))
    assert not figure.axes[1].images
    assert any("With 100 inputs only its diagonal was taken" in text for text in texts(figure))


def test_no_finite_entry_is_not_taken_for_a_linear_function():
    m = everywhere(quadratic_form(4), np.nan)
    shown = texts(figures.draw(m, report(features_of(m), interactions=pairs_of(m))))
    assert "No entry of the exact Hessian is finite." in shown
    assert not any("is 0" in text for text in shown)


def test_long_names_are_shortened_and_stay_on_the_page():
    m = quadratic_form(12, names=[f"{'long ' * 30}{i}" for i in range(12)])
    figure = figures.draw(m, report(features_of(m), interactions=pairs_of(m)))
    figures.to_png(figure)
    for label in figure.axes[0].get_yticklabels() + figure.axes[1].get_xticklabels():
        assert "…" in label.get_text()
        box = label.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0


def test_long_names_keep_what_tells_them_apart():
    names = [f"a_temperature_of_the_inlet_{i}" for i in "abc"] + ["flow"]
    m = quadratic_form(4, names=names)
    bars = figures.draw(m, report(features_of(m), interactions=pairs_of(m))).axes[0]
    shown = {t.get_text() for t in bars.get_yticklabels()}
    assert len(shown) == 4
    assert {text[-1] for text in shown} == {"a", "b", "c", "w"}


def test_inputs_of_two_values_have_bars_of_their_own():
    m = with_two_values(quadratic_form(5, names=["age", "sex", "bmi", "smoker", "bp"]), 1, 3)
    features, changes = m.feature_curvature(), m.feature_changes()
    figure = figures.draw(m, report(features, interactions=m.interactions(), changes=changes))
    numbers, pairs = figure.axes[:2]
    (two,) = [a for a in figure.axes if "two values" in a.get_title(loc="left")]
    assert {t.get_text() for t in numbers.get_yticklabels()} == {"age", "bmi", "bp"}
    # What they do together with numbers is to be seen, and in the order of the bars.
    assert [t.get_text() for t in pairs.get_xticklabels()][3:] == ["smoker", "sex"]
    rows = [m.feature_names.index(t.get_text()) for t in numbers.get_yticklabels()]
    shown = m.interactions()[np.ix_(rows, [*rows, 3, 1])]
    np.testing.assert_allclose(pairs.images[0].get_array(), shown)
    assert any("averaged over the way between two values" in text for text in texts(figure))
    assert [t.get_text() for t in two.get_yticklabels()] == ["smoker", "sex"]
    np.testing.assert_allclose(two.containers[0].datavalues, [2, 1])
    assert {"from 0 to 1: 2", "from 0 to 1: 1"} <= {t.get_text().strip() for t in two.texts}


def test_a_probe_of_nothing_but_two_values_is_drawn():
    m = with_two_values(quadratic_form(3), 0, 1, 2)
    figure = figures.draw(m, report(m.feature_curvature(), changes=m.feature_changes()))
    figures.to_png(figure)
    assert any("Every input has two values" in text for text in texts(figure))
