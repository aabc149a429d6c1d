"""What holds for the pictures of any number of inputs."""

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

from closed_forms import (
    everywhere,
    features_of,
    pairs_of,
    parabola,
    quadratic_form,
    report,
    saddle,
    some,
)
from drawn import texts
from keras_curvature import figures

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
@pytest.mark.parametrize("theme", figures.THEMES)
def test_a_theme_colours_the_page(m, theme):
    pixels = figures.to_rgba(figures.draw(m, report(features_of(m)), theme=theme))
    page = np.round(255 * np.array(to_rgb(figures.THEMES[theme].page)))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[[0, -1], [0, -1], :3], [page, page])
    assert (pixels[..., 3] == 255).all()


def test_an_unknown_theme_is_an_error():
    with pytest.raises(ValueError, match=r"'light', 'dark', .* Received: 'pink'"):
        figures.draw(parabola(), report(), theme="pink")


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


@pytest.mark.every(9)
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


@pytest.mark.slow
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
