"""Many steps as one text: what comes out is what went in, to the digits that are promised."""

import base64
import json
import zlib

import numpy as np
import pytest

from keras_curvature_page.chunks import MOST_STEPS, told_of
from keras_curvature_page.packets import pack
from keras_curvature_page.series import Series


class Packets:
    """A source of one run."""

    broken = ()

    def __init__(self, packets, probe=None):
        here = Series("run", "curvature", "", "steps"), Series("run", "curvature", "", "probe")
        self.found = {here[0]: packets, here[1]: probe or {0: pack({"version": 1}, {})}}

    def steps(self):
        return self.found

    def packet(self, series, step):
        return self.found[series][step]


def opened(chunk):
    """Headers and arrays of a chunk, by the description in chunks.py and in another way than it."""
    data = zlib.decompress(base64.b64decode(chunk["data"]))
    length = int.from_bytes(data[:4], "little")
    headers, at, arrays = json.loads(data[4 : 4 + length]), 4 + length, {}
    for name, shape, along, dropped in chunk["arrays"]:
        count = len(headers) * int(np.prod(shape))
        codes = [
            sum(data[at + plane * count + i] << (8 * plane) for plane in range(4))
            for i in range(count)
        ]
        at += 4 * count
        rows = [[(code >> 1) ^ -(code & 1) for code in row]
                for row in np.reshape(codes, (len(headers), -1)).tolist()]  # fmt: skip
        sums = []
        for row in rows:
            row = np.cumsum(row).tolist() if along else row
            before = sums[-1] if sums else [0] * len(row)
            sums.append([_wrapped(a + b) for a, b in zip(before, row, strict=True)])
        bits = [[(0x80000000 if n < 0 else 0) | (abs(n) << dropped) for n in row] for row in sums]
        arrays[name] = np.array(bits, np.uint32).view(np.float32).reshape(-1, *shape)
    assert at == len(data)
    return headers, arrays


def _wrapped(number):
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


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


def series_of(arrays, **kwargs):
    packets = {s: pack({"step": s, "name": "<b>"}, found) for s, found in enumerate(arrays)}
    return told_of(Packets(packets), **kwargs)


def steps_of(told):
    return [chunk for chunk in told["chunks"] if chunk["tag"].endswith("/steps")]


def test_nothing_is_lost():
    given = smooth()
    (chunk,) = steps_of(series_of(given))
    headers, arrays = opened(chunk)
    assert chunk["digits"] is None
    assert [header["step"] for header in headers] == chunk["steps"] == list(range(5))
    for name in given[0]:
        np.testing.assert_array_equal(arrays[name], np.stack([g[name] for g in given]))


def test_rounded_numbers_keep_five_digits():
    given = smooth()
    (chunk,) = steps_of(series_of(given, rounded=True))
    _, arrays = opened(chunk)
    assert chunk["digits"] == 5
    for name in ("value", "slope"):
        found, true = arrays[name], np.stack([g[name] for g in given])
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(true))
        known = np.isfinite(true) & (np.abs(true) > 1e-30)  # below there are fewer bits to drop
        wide = true[known].astype("float64")
        assert np.abs(found[known] / wide - 1).max() <= 2.0**-18  # half of the last bit kept
        np.testing.assert_array_equal(found[~known & ~np.isfinite(true)], true[~np.isfinite(true)])
    np.testing.assert_array_equal(arrays["spectrum"], np.stack([g["spectrum"] for g in given]))
    assert len(chunk["data"]) < len(steps_of(series_of(given))[0]["data"])


def test_what_the_page_subtracts_keeps_all_digits():
    shape = {"value": (1, 9), "second": (1, 2, 9), "scale_second": (1, 2, 9), "mixed": (1, 9)}
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=size).astype("float32") for name, size in shape.items()}
    told = series_of([given], rounded=True)
    arrays = opened(steps_of(told)[0])[1]
    same = {name: bool((arrays[name][0] == array).all()) for name, array in given.items()}
    assert same == {"value": True, "second": True, "scale_second": True, "mixed": False}
    points = pack({"version": 1}, {"x": given["value"]})
    told = told_of(Packets({0: pack({}, {})}, {0: points}), rounded=True)
    (probe,) = [chunk for chunk in told["chunks"] if chunk["tag"].endswith("/probe")]
    np.testing.assert_array_equal(opened(probe)[1]["x"][0], given["value"])


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
    assert len(json.dumps(told)) < raw * (0.35 if rounded else 0.6)
