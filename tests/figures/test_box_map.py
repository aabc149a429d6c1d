"""Pictures of proofs show each box where it lies, in the colour of what is known there."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from drawn import texts
from keras_curvature import figures
from keras_curvature.report.box_map import BoxMap

STATES = np.array([1, -1, 0], dtype=np.int8)
EDGES = np.array([0.0, 0.5, 0.75, 1.0])


def a_map(inputs, bounds=((0.1, -0.3, -0.1), (0.2, -0.1, np.inf)), worst=0.6, held=""):
    low, high = np.zeros((3, inputs)), np.ones((3, inputs))
    low[:, 0], high[:, 0] = EDGES[:-1], EDGES[1:]
    return BoxMap(
        claim="convex in strike", shares="50 % proved", derivative="second derivative",
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
    figure = figures.draw_box_maps([a_map(inputs)], "Refuted over all", theme=theme)
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
    for text in ("Refuted over all", "convex in strike", "50 % proved", "worst point", "refuted"):
        assert text in said


def test_several_claims_and_slices_are_told():
    maps = [a_map(2, held="a slice of the box, at spot 1"), *[a_map(2, worst=None)] * 4]
    figure = figures.draw_box_maps(maps, "Open")
    figures.to_png(figure)
    assert sum(axes.axison for axes in figure.axes) == 5
    assert "a slice of the box, at spot 1" in " ".join(texts(figure))
    with pytest.raises(ValueError, match="`theme` must be one of"):
        figures.draw_box_maps(maps, "Open", theme="red")
