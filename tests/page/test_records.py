"""The records of event files, held against TensorBoard's own writer of them."""

from __future__ import annotations

import io

import numpy as np
from tensorboard.summary.writer.record_writer import RecordWriter

from keras_curvature_page.records import BLOCK, record


def test_of_any_length_they_are_tensorboards():
    bits = np.random.default_rng(0)
    for length in (*range(2 * BLOCK + 9), 65_537):
        data = bits.bytes(length)
        expected = io.BytesIO()
        RecordWriter(expected).write(data)
        assert record(data) == expected.getvalue(), length
