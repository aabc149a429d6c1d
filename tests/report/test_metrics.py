import dataclasses

import numpy as np
import pytest

from closed_forms import parabola, quadratic_form, report
from keras_curvature.report import metrics
from keras_curvature.report import text as report_text
from keras_curvature.summaries import markdown, tab
from keras_curvature_page.packets import unpack

HOSTILE = "<script>\x1b[2J\n$x_1$|\u202e"


@pytest.mark.parametrize(
    "numbers",
    [
        parabola(target=np.zeros((101, 1))).headline(),
        parabola(known=np.zeros((101, 1, 1))).reference_errors(),
        quadratic_form(3).detail(),
    ],
    ids=["headline", "reference", "detail"],
)
def test_every_number_that_is_computed_has_a_meaning(numbers):
    assert numbers
    assert set(numbers) <= set(metrics.MEANINGS)


BY_HESSIANS = {
    f"{name} of {of}": one for of, own in metrics.OF_HESSIANS.items() for name, one in own.items()
}


@pytest.mark.parametrize("name", [*metrics.MEANINGS, *metrics.SHAPE, *BY_HESSIANS])
def test_a_meaning_fits_a_line_and_a_description_tells_all(name):
    meaning = (metrics.MEANINGS | metrics.SHAPE | BY_HESSIANS)[name]
    assert len(meaning.sentence) <= 56
    description = meaning.description("raw")
    assert description[0] != " "
    assert meaning.formula in description
    assert not meaning.unit or f"Unit: {meaning.unit}." in description


def test_of_what_a_root_mean_square_is_stands_beside_it():
    """Of whole Hessians it has interactions in it, of their diagonal it has not."""
    assert parabola().hessians == ""
    of = {d: quadratic_form(d) for d in (3, 70)}
    of[70] = dataclasses.replace(of[70], hessian=None)
    said = {}
    for d, m in of.items():
        shown = report(headline=m.headline(), hessians=m.hessians)
        text, summary = str(shown), markdown.of_report(shown)
        for name in ("rms", "scale_rms"):
            sentence = shown.meanings[name]
            assert sentence in text
            assert sentence in summary
            meanings = unpack(tab.probe_packet(shown, m))[0]["meanings"]
            assert meanings[name][1] == sentence
            said[d, name] = sentence
    assert said[3, "rms"] == "how much it bends, up and down, inputs together too"
    assert said[3, "scale_rms"].startswith("along single inputs")
    assert said[70, "rms"] == "how much it bends along single inputs: no interactions"
    assert said[70, "scale_rms"].startswith("as rms")


def test_units_in_deviations_say_so():
    mean = metrics.MEANINGS["mean"]
    assert (mean.unit_in("raw"), mean.unit_in("std")) == ("y/x²", "σy/σx²")
    assert metrics.MEANINGS["seconds"].unit_in("std") == "s"


def test_table_has_the_verdict_first_and_all_numbers():
    text = str(report(output="price"))
    lines = text.splitlines()
    assert lines[0] == "Curvature of 'price', epoch 3"
    assert lines[1].startswith("The function bends")
    found = {words[0]: words[1] for line in lines if len(words := line.split()) > 1}
    for name, value in report().scalars.items():
        assert found[name] == f"{value:.4g}"
    assert found["x"] == "40.5"
    assert "- Engine: nested, in float32." in lines


def test_table_stays_within_the_columns_and_moves_no_cursor():
    features = {f"{HOSTILE}{i} {'long ' * 30}": float(i) for i in range(30)}
    shown = report(features, output=HOSTILE * 9, sentence=f"{HOSTILE} word" * 40, method=(HOSTILE,))
    text = str(shown)
    assert max(map(len, text.splitlines())) <= report_text.WIDTH
    assert not set(text) & {"\x1b", "\u202e", "\r"}
    assert "10 with less are left out" in text


def test_table_takes_what_is_not_a_number_and_what_it_does_not_know():
    shown = report({"a": np.nan, "b": 1.0}, headline={"mean": np.nan, "new": np.inf})
    lines = str(shown).splitlines()
    assert any(line.split()[:2] == ["mean", "nan"] for line in lines)
    assert any(line.split() == ["new", "inf"] for line in lines)
    assert lines.index("b    1") < lines.index("a  nan")


def test_moment():
    assert [report_text.moment(step) for step in (0, 7)] == ["before training", "epoch 7"]


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("age", None, "age"),
        ("a\n\tb\u2028c", None, "a b c"),
        ("a\x00\x1b\u202e\ud800b", None, "ab"),
        ("price of house number 12", 12, "price o…r 12"),
        ("twelve chars", 12, "twelve chars"),
    ],
    ids=["plain", "white space", "control", "long", "just fits"],
)
def test_plain(text, limit, shown):
    assert report_text.plain(text, limit) == shown
