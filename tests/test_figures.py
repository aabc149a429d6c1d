import dataclasses
import gc
import io
import logging
import warnings
import weakref

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from closed_forms import kinked, measurement, parabola, quadratic_form, report
from keras_curvature import figures

KNOWN = np.full((101, 1, 1), 2.0)


def texts(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def line(axes, label):
    """The line whose label starts so."""
    (found,) = [line for line in axes.lines if str(line.get_label()).startswith(label)]
    return found


def features_of(m):
    """Mean |second derivative| in standard deviations, as a report has it."""
    standard = np.abs(m.diagonal * m.input_spread**2 / m.output_spread[:, None])
    return dict(zip(m.feature_names, standard.mean(axis=(0, 1)), strict=True))


def pairs_of(m):
    return np.abs(m.hessian).mean(axis=(0, 1))


# One input


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
    assert [axes.get_ylabel() for axes in (slope, curvature)] == ["[y per x]", "[y per x²]"]
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
    np.testing.assert_allclose(figures._running_mean(x, y, 3 / 64), expected)


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


# Two inputs


def saddle(n=200, names=("x0", "x1")):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (n, 2))
    a, b = x.T
    hessian = np.zeros((n, 1, 2, 2))
    hessian[:, 0, 0, 0], hessian[:, 0, 1, 1] = 6 * a, 6 * b
    slope = np.stack([3 * a**2, 3 * b**2], 1)[:, None]
    return measurement(x, (a**3 + b**3)[:, None], slope, hessian, names=names)


def test_two_inputs_show_maps_of_function_and_laplacian():
    m = saddle(names=("width", "height"))
    figure = figures.draw(m, report())
    maps, bars = figure.axes[:3], figure.axes[3:]
    points = [axes.collections[-1] for axes in maps]
    for found, expected in zip(
        points, (m.value[:, 0], m.laplacian[:, 0], m.scale_diagonal.sum(2)[:, 0]), strict=True
    ):
        shown = np.asarray(found.get_array())
        np.testing.assert_allclose(shown, expected[: len(shown)] if len(shown) == 200 else
                                   expected[m.inside.all(axis=1)])  # fmt: skip
    _, exact, at_scale = (found.norm for found in points)
    assert (exact.vmin, exact.vmax) == (at_scale.vmin, at_scale.vmax)
    assert exact.vmin == -exact.vmax
    assert (maps[0].get_xlabel(), maps[0].get_ylabel()) == ("width", "height")
    assert [bar.get_xlabel() for bar in bars] == ["y", "∂²y/∂x₁² + ∂²y/∂x₂²  [y per x²]"]


def test_a_map_takes_no_more_points_than_it_can_show():
    figure = figures.draw(saddle(5000), report())
    assert len(figure.axes[0].collections[-1].get_array()) == figures.MOST_MAP_POINTS
    assert any("5000 points, 2000 shown" in text for text in texts(figure))


# More inputs


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
    assert len(bars.get_yticklabels()) == figures.MOST_FEATURES
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


# All


EVERY_KIND = {"one": parabola(), "two": saddle(), "more": quadratic_form(5)}


@pytest.mark.parametrize("m", EVERY_KIND.values(), ids=EVERY_KIND)
@pytest.mark.parametrize(("step", "title"), [(0, "Before training"), (12, "Epoch 12")])
def test_the_title_says_when_and_what_is_going_on(m, step, title):
    sentence = "A verdict. " * 60
    shown = texts(figures.draw(m, report(features_of(m), step=step, sentence=sentence)))
    assert title in shown
    (verdict,) = [text for text in shown if text.startswith("A verdict.")]
    lines = verdict.splitlines()
    assert len(lines) == 3
    assert lines[-1].endswith("…")


@pytest.mark.parametrize("m", EVERY_KIND.values(), ids=EVERY_KIND)
def test_a_picture_is_about_a_thousand_pixels_wide_and_nothing_is_cut(m):
    figure = figures.draw(m, report(features_of(m), output="price", sentence="word " * 99))
    image = Image.open(io.BytesIO(figures.to_png(figure)))
    assert 1000 <= image.width <= 1200
    words = list(figure.texts)
    for axes in figure.axes:
        words += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        words += axes.get_legend().get_texts() if axes.get_legend() else []
    page = figure.bbox
    for text in words:
        if text.get_text():
            box = text.get_window_extent()
            assert page.x0 <= box.x0 < box.x1 <= page.x1, text
            assert page.y0 <= box.y0 < box.y1 <= page.y1, text


@pytest.mark.parametrize("m", EVERY_KIND.values(), ids=EVERY_KIND)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_colours_the_page(m, theme):
    pixels = figures.to_rgba(figures.draw(m, report(features_of(m)), theme=theme))
    page = np.round(255 * np.array(to_rgb(figures.THEMES[theme].page)))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[[0, -1], [0, -1], :3], [page, page])
    assert (pixels[..., 3] == 255).all()


def test_an_unknown_theme_is_an_error():
    with pytest.raises(ValueError, match=r"'light' or 'dark'\. Received: 'pink'"):
        figures.draw(parabola(), report(), theme="pink")


def everywhere(m, number):
    fields = ("value", "jacobian", "diagonal", "hessian", "scale_diagonal")
    changed = {field: np.full_like(getattr(m, field), number) for field in fields}
    return dataclasses.replace(m, **changed, target=changed["value"], reference=changed["diagonal"])


def some(m, number):
    changed = {}
    for field in ("value", "jacobian", "diagonal", "hessian", "scale_diagonal"):
        changed[field] = getattr(m, field).copy()
        changed[field][::3] = number
    return dataclasses.replace(m, **changed)


def points(m, x):
    spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    inside = np.zeros_like(m.inside)
    return dataclasses.replace(m, x=x, input_spread=spread, scale=spread / 4, inside=inside)


def first(m, n):
    changed = {
        f.name: value[:n]
        for f in dataclasses.fields(m)
        if isinstance(value := getattr(m, f.name), np.ndarray)
        and f.name not in ("scale", "input_spread", "output_spread")
    }
    return dataclasses.replace(m, **changed)


ODD = {
    "constant": lambda m: everywhere(m, 0.0),
    "constant and large": lambda m: everywhere(m, 1e6),
    "all nan": lambda m: everywhere(m, np.nan),
    "all infinite": lambda m: everywhere(m, -np.inf),
    "all huge": lambda m: everywhere(m, 1e308),
    "all tiny": lambda m: everywhere(m, 1e-310),
    "some nan": lambda m: some(m, np.nan),
    "some infinite": lambda m: some(m, np.inf),
    "some huge": lambda m: some(m, -1e300),
    "float32": lambda m: some(m, np.float32(1e38)),
    "one point": lambda m: first(m, 1),
    "two points": lambda m: first(m, 2),
    "three points": lambda m: first(m, 3),
    "one place": lambda m: points(m, np.ones_like(m.x)),
    "on a line": lambda m: points(m, np.repeat(m.x[:, :1], m.x.shape[1], axis=1)),
    "almost on a line": lambda m: points(m, m.x[:, :1] + 1e-13 * m.x),
    "stretched": lambda m: points(m, m.x * np.logspace(-9, 9, m.x.shape[1])),
    "far away": lambda m: points(m, 1e12 + m.x),
    "few values": lambda m: points(m, np.round(m.x)),
}


@pytest.mark.parametrize("m", EVERY_KIND.values(), ids=EVERY_KIND)
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_numbers_are_drawn_without_a_word(m, odd, caplog):
    m = odd(m)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        features, pairs = features_of(m), pairs_of(m)
    with warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.simplefilter("error")
        figure = figures.draw(m, report(features, interactions=pairs))
        assert Image.open(io.BytesIO(figures.to_png(figure))).width >= 1000
    assert not caplog.records


def test_the_widest_legend_leaves_the_title_readable():
    m = parabola(known=KNOWN)
    m = dataclasses.replace(m, scale=1.234e-5 * m.scale, diagonal=-1.234e5 * m.diagonal,
                            scale_diagonal=-1.234e5 * m.scale_diagonal)  # fmt: skip
    figure = figures.draw(m, report())
    figures.to_png(figure)
    axes = figure.axes[2]
    title = axes._left_title.get_window_extent()
    assert title.x1 < axes.get_legend().get_window_extent().x0


def test_no_finite_entry_is_not_taken_for_a_linear_function():
    m = everywhere(quadratic_form(4), np.nan)
    shown = texts(figures.draw(m, report(features_of(m), interactions=pairs_of(m))))
    assert "No entry of the exact Hessian is finite." in shown
    assert not any("is 0" in text for text in shown)


def test_points_that_are_not_finite_are_counted():
    m = everywhere(parabola(), np.nan)
    low, high = figures.draw(m, report()).axes[2].get_xlim()
    assert -0.1 < low < 0 < 1 < high < 1.1
    figure = figures.draw(some(parabola(), np.nan), report())
    assert any("101 points · 34 with a second derivative that" in t for t in texts(figure))


NAMES = [
    "$x^2$",
    "a_b",
    "<script>",
    "\\frac",
    "$odd",
    "\\$",
    "100%",
    "温度",
    "\ud800\x00",
    "",
    "a\nb",
]


@pytest.mark.parametrize("d", [1, 2, 11])
def test_names_are_shown_as_they_are(d, caplog):
    for start in range(0, len(NAMES), d):
        names = (NAMES[start : start + d] + NAMES)[:d]
        m = quadratic_form(d, names=names)
        shown = report(features_of(m), interactions=pairs_of(m), output=NAMES[0], sentence="$x$")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = figures.draw(m, shown)
            figures.to_png(figure)
        found = " ".join(texts(figure))
        assert all(name in found for name in names if name.isprintable())
        assert not any(t.get_parse_math() for t in figure.findobj(mpl.text.Text) if t.get_text())
    assert not caplog.records


def test_long_names_are_shortened_and_stay_on_the_page():
    m = quadratic_form(12, names=[f"{'long ' * 30}{i}" for i in range(12)])
    figure = figures.draw(m, report(features_of(m), interactions=pairs_of(m)))
    figures.to_png(figure)
    for label in figure.axes[0].get_yticklabels() + figure.axes[1].get_xticklabels():
        assert "…" in label.get_text()
        box = label.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0


def test_the_user_settings_have_no_effect_and_are_left_alone():
    def pixels():
        return figures.to_rgba(figures.draw(parabola(), report()))

    plain = pixels()
    with mpl.rc_context({"font.size": 30, "text.usetex": True, "savefig.bbox": "tight"}):
        mpl.rcParams["axes.facecolor"] = "red"
        before = dict(mpl.rcParams)
        np.testing.assert_array_equal(pixels(), plain)
        assert dict(mpl.rcParams) == before


def test_nothing_is_left_behind():
    figure = figures.draw(parabola(), report())
    figures.to_png(figure)
    gone = weakref.ref(figure)
    del figure
    gc.collect()
    assert gone() is None
    assert not mpl._pylab_helpers.Gcf.figs


def test_a_notebook_shows_a_picture_by_itself():
    figure = figures.draw(parabola(), report())
    assert figure._repr_png_().startswith(b"\x89PNG")
