"""Chunks of packets, read by the description in chunks.py and in another way than it."""

import base64
import json
import math
import zlib

import numpy as np

from keras_curvature_page.chunks import told_of
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


def series_of(arrays, probe=None, **kwargs):
    packets = {s: pack({"step": s, "name": "<b>"}, found) for s, found in enumerate(arrays)}
    return told_of(Packets(packets, probe and {0: pack({"version": 1}, probe)}), **kwargs)


def steps_of(told):
    return [chunk for chunk in told["chunks"] if chunk["tag"].endswith("/steps")]


def opened(chunk):
    """Headers and arrays of a chunk."""
    data = zlib.decompress(base64.b64decode(chunk["data"]))
    length = int.from_bytes(data[:4], "little")
    told, at, arrays = json.loads(data[4 : 4 + length]), 4 + length, {}
    steps = len(told["headers"])
    read = [[] for _ in range(steps)]  # of each step all multiples that were read so far
    for name, shape, how in chunk["arrays"]:
        count = steps * math.prod(shape)
        codes = [
            sum(data[at + plane * count + i] << (8 * plane) for plane in range(4))
            for i in range(count)
        ]
        at += 4 * count
        rows = [[(code >> 1) ^ -(code & 1) for code in row]
                for row in np.reshape(codes, (steps, -1)).tolist()]  # fmt: skip
        if how == "fixed":
            found = _multiples(rows, read, *told["fixed"][name])
        else:
            found = _floats(rows, along=how)
        arrays[name] = found.reshape(steps, *shape)
    assert at == len(data)
    return told["headers"], arrays


def _multiples(rows, read, quanta, predictors, gains):
    places = len(predictors)
    each = places // len(quanta)
    for step, row in enumerate(rows):
        first = len(read[step])
        for place, difference in enumerate(row):
            quantum, here = quanta[place // each][step], first + place
            before = read[step - 1][here] if step else 0.0
            expected = before
            if gains[place]:
                other = here - predictors[place]
                moved = read[step][other] - (read[step - 1][other] if step else 0.0)
                expected += gains[place] / 64 * moved
            read[step].append((math.floor(expected / quantum + 0.5) + difference) * quantum)
    return np.array([row[-places:] for row in read])


def _floats(rows, along):
    sums = []
    for row in rows:
        row = np.cumsum(row).tolist() if along else row
        before = sums[-1] if sums else [0] * len(row)
        sums.append([_wrapped(a + b) for a, b in zip(before, row, strict=True)])
    bits = [[(0x80000000 if n < 0 else 0) | abs(n) for n in row] for row in sums]
    return np.array(bits, np.uint32).view(np.float32)


def _wrapped(number):
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)
