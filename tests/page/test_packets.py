import json
import struct

import numpy as np
import pytest

from keras_curvature_page.packets import LARGEST, pack, unpack


def header_of(text):
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sI", b"KCV1", len(text)) + text


SOUND = pack({"step": 1, "name": "<b>"}, {"a": np.arange(6.0).reshape(2, 3), "b": []})

BROKEN = {
    "nothing": b"",
    "too short": b"KCV1",
    "another beginning": b"GIF89a..",
    "cut off in the header": SOUND[:20],
    "cut off in an array": SOUND[:-4],
    "something after it": SOUND + b"\0\0\0\0",
    "a header longer than the packet": struct.pack("<4sI", b"KCV1", 1 << 31),
    "no JSON": header_of(b"\xff\xfe"),
    "a list": header_of(b"[]"),
    "no arrays": header_of(b"{}"),
    "arrays of no shape": header_of(b'{"arrays": [["a"]]}'),
    "a negative size": header_of(b'{"arrays": [["a", [-1]]]}'),
    "a size that is no count": header_of(b'{"arrays": [["a", [true]]]}'),
    "an immense size": header_of(b'{"arrays": [["a", [999999999, 999999999]]]}'),
    "deep nesting": header_of(b"[" * 100_000),
    "too large": SOUND[:8] + b"\0" * LARGEST,
}


def test_what_is_packed_is_unpacked():
    header, arrays = unpack(SOUND)
    assert header == {"step": 1, "name": "<b>"}
    np.testing.assert_array_equal(arrays["a"], [[0, 1, 2], [3, 4, 5]])
    assert arrays["b"].shape == (0,)


def test_arrays_keep_what_json_cannot_say():
    header, arrays = unpack(pack({"r2": float("nan")}, {"a": [np.nan, np.inf, -np.inf, 1e300]}))
    assert header == {"r2": None}
    np.testing.assert_array_equal(arrays["a"], [np.nan, np.inf, -np.inf, np.inf])


def test_names_of_any_script_pass():
    name = "温度 \u2028 \"'<\\"
    assert unpack(pack({"names": [name]}, {}))[0]["names"] == [name]


@pytest.mark.parametrize("packet", BROKEN.values(), ids=BROKEN)
def test_a_broken_packet_is_an_error_and_nothing_else(packet):
    with pytest.raises(ValueError, match=r"packet|begins"):
        unpack(packet)


def test_random_damage_is_an_error_or_another_packet():
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(SOUND)
        damaged[rng.integers(len(SOUND))] = rng.integers(256)
        try:
            header, _ = unpack(bytes(damaged))
        except ValueError:
            continue
        json.dumps(header)
