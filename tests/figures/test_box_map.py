"""Pictures of proofs show each box where it lies, in the colour of what is known there."""

import itertools

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text

from drawn import texts
from keras_curvature import figures
from keras_curvature.report.box_map import BoxMap

STATES = np.array([1, -1, 0], dtype=np.int8)
EDGES = np.array([0.0, 0.5, 0.75, 1.0])


BOUNDS = np.array([[0.1, -0.3, -0.1], [0.2, -0.1, np.inf]])


def a_map(inputs, bounds=BOUNDS, worst=0.6, held="", verdict="Refuted", shares="50 % proved"):
    low, high = np.zeros((3, inputs)), np.ones((3, inputs))
    low[:, 0], high[:, 0] = EDGES[:-1], EDGES[1:]
    return BoxMap(
        claim="convex in strike", verdict=verdict, shares=shares,
        derivative="second derivative",
        names=("strike", "volatility")[:inputs], low=np.zeros(inputs), high=np.ones(inputs),
        held=held, corners=(low, high), states=STATES, bounds=np.array(bounds), limit=0.0,
        worst=None if worst is None else np.full(inputs, worst),
    )  # fmt: skip


def rectangles(axes):
    """The boxes drawn, by their colour."""
    return {
        to_hex(one.get_facecolor()[0]): [path.get_extents().bounds for path in one.get_paths()]
        for one in axes.collections
        if isinstance(one, PolyCollection) and len(one.get_paths())
    }


@pytest.mark.parametrize("theme", ["light", "dark", "card"])
@pytest.mark.parametrize("inputs", [1, 2])
def test_each_box_is_where_it_lies(inputs, theme):
    figure = figures.draw_box_maps([a_map(inputs)], "Of 1 claim", "Box: all", theme=theme)
    figures.to_png(figure)
    palette = figures.THEMES[theme]
    panel, drawn = figure.axes[0], rectangles(figure.axes[0])
    for colour, left, right, low, high in (
        (palette.exact, 0, 0.5, 0.1, 0.2),
        (palette.scale, 0.5, 0.75, -0.3, -0.1),
        (palette.target, 0.75, 1, -0.1, None),
    ):
        ((x, y, width, height),) = drawn[colour]
        assert (x, width) == pytest.approx((left, right - left))
        if inputs == 1:
            assert y == pytest.approx(low)
            top = panel.get_ylim()[1] if high is None else high  # without an end: to the edge
            assert y + height == pytest.approx(top)
        else:
            assert (y, height) == (0, 1)
    assert panel.get_xlim() == (0, 1)
    assert panel.get_xlabel() == "strike"
    said = texts(figure)
    for text in (
        "Of 1 claim", "Box: all", "Refuted", "convex in strike", "50 % proved",
        "worst point", "refuted",
    ):  # fmt: skip
        assert text in said


def overlap(figure):
    """Pairs of texts that lie on each other, and texts that leave the page."""
    figures.to_png(figure)
    renderer = figure.canvas.get_renderer()
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    places = [(t.get_text(), t.get_window_extent(renderer)) for t in shown]
    edge = figure.bbox
    pairs = [
        (a, b)
        for (a, one), (b, other) in itertools.combinations(places, 2)
        if one.overlaps(other) and one.width * other.width
    ]
    beyond = [a for a, one in places if one.x1 > edge.x1 or one.x0 < 0 or one.y0 < 0]
    return pairs, beyond


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_each_panel_says_its_verdict_and_its_slice_in_its_place(count):
    verdicts = ["Refuted at a point", "Open", "Proved", "Refuted", "Open", "Proved"][:count]
    maps = [
        a_map(2, held=f"vol = 0.{i + 1} and maturity = 1.25", verdict=verdict)
        for i, verdict in enumerate(verdicts)
    ]
    figure = figures.draw_box_maps(maps, "Refuted: of some claims", "Box: spot 60 to 140")
    for i, (panel, verdict) in enumerate(zip(figure.axes, verdicts, strict=False)):
        said = [one.get_text() for one in panel.texts]
        slice_at = f"slice at vol = 0.{i + 1} and maturity = 1.25"
        assert said == [verdict, "convex in strike", "50 % proved", slice_at]
        assert np.diff([one.xyann[1] for one in panel.texts]).max() < 0  # one below the other
    colours = {one.get_text(): to_hex(one.get_color()) for one in figure.findobj(Text)}
    assert colours["Refuted at a point"] == figures.THEMES["light"].scale
    assert overlap(figure) == ([], [])


def test_long_shares_stay_in_their_panels():
    shares = "52.4 % proved, 47.5 % refuted, 0.0934 % open"
    maps = [a_map(2, shares=shares), a_map(2, shares=shares)]
    assert overlap(figures.draw_box_maps(maps, "Refuted", "all")) == ([], [])


def test_several_claims_and_slices_are_told():
    maps = [a_map(2, held="spot = 1"), *[a_map(2, worst=None)] * 4]
    figure = figures.draw_box_maps(maps, "Open", "all")
    figures.to_png(figure)
    assert sum(axes.axison for axes in figure.axes) == 5
    assert "slice at spot = 1" in " ".join(texts(figure))
    with pytest.raises(ValueError, match="`theme` must be one of"):
        figures.draw_box_maps(maps, "Open", "all", theme="red")


def test_the_factor_of_small_bounds_is_not_on_the_title():
    figure = figures.draw_box_maps([a_map(1, bounds=np.full((2, 3), 1e-7))], "", "all")
    assert overlap(figure) == ([], [])
    assert "1e" in figure.axes[0].yaxis.get_offset_text().get_text()
