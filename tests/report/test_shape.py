"""What is said of a shape: numbers under names, and sentences."""

from __future__ import annotations

import pytest

from closed_forms import parabola, report
from keras_curvature.report.shape import ShapeEntry, broken
from keras_curvature.summaries import tab
from keras_curvature.summaries.markdown import of_report
from keras_curvature_page.packets import unpack

KEPT = ShapeEntry("spot", "increasing", 1.0, 0.0, "y/x", 3, {})
BROKEN = ShapeEntry("strike", "convex", 0.97, 0.25, "y/x²", 4, {"strike": 90.0, "spot": 1.5})
SAID = [
    (KEPT, "increasing in spot at 100 % of the points"),
    (
        BROKEN,
        "convex in strike at 97 % of the points; worst: off by 0.25 y/x², at strike 90 and "
        "spot 1.5",
    ),
    (
        ShapeEntry("x[2,1]", "linear", 0.0, 2.0, "y/x²", 7, {}),
        "linear in x[2,1] at none of the points; worst: off by 2 y/x², at probe point 7",
    ),
    (
        ShapeEntry("a\x1b[2J", "concave", 0.0, float("nan"), "y/x²", 0, {}),
        "concave in a[2J at none of the points",
    ),
]


@pytest.mark.parametrize(("entry", "sentence"), SAID)
def test_a_sentence(entry, sentence):
    assert str(entry) == sentence


def entry(name, fraction):
    return ShapeEntry(name, "convex", fraction, 1.0 - fraction, "y/x²", 0, {})


BROKEN_ONES = {
    "none": ([KEPT], ""),
    "the only one": ([BROKEN], "The shape that was asked for is broken: convex in strike holds at"),
    "one of two": (
        [KEPT, BROKEN],
        "1 of 2 shapes is broken: convex in strike holds at 97 % of the",
    ),
    "the worst first": (
        [KEPT, entry("a", 0.5), entry("b", 0.0)],
        "2 of 3 shapes are broken: convex in b holds at none of the points, convex in a holds at",
    ),
    "many": ([entry(name, 0.5) for name in "abcde"], "holds at 50 % of the points and 2 more."),
}


@pytest.mark.parametrize("case", BROKEN_ONES)
def test_those_that_are_broken_are_told_together(case):
    entries, words = BROKEN_ONES[case]
    assert words in broken(entries)
    assert bool(broken(entries)) == bool(words)


def test_a_report_has_its_numbers_and_their_meanings():
    shown = report(shape=(KEPT, BROKEN))
    names = [name for name in shown.scalars if name.startswith("shape/")]
    assert {name: shown.scalars[name] for name in names} == {
        "shape/spot_increasing_fraction": 1,
        "shape/spot_increasing_worst_violation": 0,
        "shape/strike_convex_fraction": 0.97,
        "shape/strike_convex_worst_violation": 0.25,
    }
    assert set(names) <= set(shown.meanings)
    units = {name: meaning.unit for name, (_, meaning) in shown.shape_numbers.items()}
    assert units["spot_increasing_worst_violation"] == "y/x"
    assert units["strike_convex_worst_violation"] == "y/x²"


def test_all_places_tell_it():
    shown = report(shape=(KEPT, BROKEN))
    step, _ = unpack(tab.step_packet(shown, parabola()))
    told = [" ".join(str(shown).split()), of_report(shown), *step["shape"]]
    assert step["shape"] == [str(KEPT), str(BROKEN)]
    for text in told[:2]:
        assert "increasing in spot at 100 % of the points" in text
        assert "off by 0.25 y/x², at strike 90 and spot 1.5" in text
