"""Many steps as one text: what comes out is what went in."""

import json

import numpy as np
import pytest

from chunk_reading import Packets, opened, series_of, steps_of
from keras_curvature_page.chunks import MOST_STEPS, told_of
from keras_curvature_page.packets import pack


def smooth(steps=5):
    """A function that changes slowly, and every kind of number that a float32 can be."""
    x = np.linspace(-1, 1, 40, dtype="float32")
    odd = np.float32(
        [0, -0.0, np.nan, np.inf, -np.inf, 3.4028235e38, -3.4028235e38, 1e-45, -1e-45, 1.5]
    )
    rng = np.random.default_rng(0)
    return [
        {
            "value": np.sin(x + 0.1 * step)[None],
            "slope": rng.permutation(odd)[None],
            "spectrum": rng.normal(size=(4, 3)).astype("float32"),
        }
        for step in range(steps)
    ]


def test_nothing_is_lost():
    given = smooth()
    (chunk,) = steps_of(series_of(given))
    headers, arrays = opened(chunk)
    assert not chunk["rounded"]
    assert [header["step"] for header in headers] == chunk["steps"] == list(range(5))
    for name in given[0]:
        np.testing.assert_array_equal(arrays[name], np.stack([g[name] for g in given]))


def test_only_what_is_drawn_is_rounded():
    given = smooth()
    (chunk,) = steps_of(series_of(given, rounded=True))
    headers, arrays = opened(chunk)
    assert [header["step"] for header in headers] == list(range(5))
    assert chunk["rounded"]
    same = {name: bool((arrays[name] == [g[name] for g in given]).all()) for name in given[0]}
    assert same == {"value": False, "slope": False, "spectrum": True}  # NaN is not itself
    np.testing.assert_array_equal(arrays["slope"], [g["slope"] for g in given])
    points = {"x": given[0]["value"]}
    (probe,) = [c for c in series_of(given, points, rounded=True)["chunks"] if c["tag"][-1] == "e"]
    np.testing.assert_array_equal(opened(probe)[1]["x"][0], points["x"])


def test_long_trainings_and_other_shapes_begin_new_chunks():
    count = MOST_STEPS + 3
    given = [{"value": np.full((1, 2), step)} for step in range(count)]
    given[5:7] = [{"value": np.zeros((1, 3))}, {}]
    found = steps_of(series_of(given))
    sizes = [len(chunk["steps"]) for chunk in found]
    assert sizes == [5, 1, 1, count - 7]
    assert [step for chunk in found for step in chunk["steps"]] == list(range(count))
    assert opened(found[-1])[1]["value"][-1, 0, 0] == count - 1
    assert max(len(c["steps"]) for c in steps_of(series_of([{}] * 300))) == MOST_STEPS


def test_a_broken_packet_is_told_of_and_left_out():
    packets = {0: pack({}, {}), 1: b"", 2: b"GIF89a", 3: pack({}, {})}
    told = told_of(Packets(packets))
    assert told["series"][0]["steps"] == [0, 1, 2, 3]
    assert steps_of(told)[0]["steps"] == [0, 3]


def test_only_what_is_new_is_told():
    source = Packets({step: pack({"step": step}, {}) for step in range(4)})
    known = {(series, step) for series, steps in source.steps().items() for step in steps}
    (steps, _) = source.steps()
    told = told_of(source, known=known - {(steps, 3)})
    assert [chunk["steps"] for chunk in told["chunks"]] == [[3]]
    assert told["series"][0]["steps"] == [0, 1, 2, 3]


@pytest.mark.parametrize("rounded", [False, True])
def test_slow_training_of_a_smooth_function_takes_little(rounded):
    given = [{"value": np.sin(np.linspace(0, 3, 200) + step / 1e3)[None]} for step in range(128)]
    told = series_of(given, rounded=rounded)
    raw = sum(len(pack({}, arrays)) for arrays in given)
    assert len(json.dumps(told)) < raw * (0.12 if rounded else 0.6)
