"""TensorFlow's format of records, in which TensorBoard reads event files."""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import CRC_TABLE, crc_update

BLOCK = 128
"""Bytes that are looked up at once; the tables for them take 128 KiB."""

ALL_BITS = 0xFFFFFFFF


_SUM = struct.Struct("<I")
_DELTA = 0xA282EAD8
_START, _END = 12, 4
"""Bytes before the data, its length and the checksum of that, and behind, its own checksum."""


def record(data: bytes) -> bytes:
    """Data behind its length, with a checksum behind either."""
    length = struct.pack("<Q", len(data))
    return length + _sum(length) + data + _sum(data)


def read(
    path: str | os.PathLike[str],
    start: int = 0,
    broken: Callable[[int, int | None], None] | None = None,
) -> Iterator[tuple[int, int, bytes]]:
    """The records of a file from a place on, as far as they are whole.

    A record that is cut off, as the last one of a file that is being written, ends it. One that
    does not fit its checksums is left out: the next one begins where its length says or, if that is
    what does not fit, wherever the next whole one is found.

    Args:
        path: of the file.
        start: where a record begins.
        broken: told where one begins that is left out, and the next one; `None` for none.

    Yields:
        Where the record begins, where the next one does, and the data.
    """
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        while True:
            file.seek(start)
            head = file.read(_START)
            if len(head) < _START:
                return
            length, said = head[:8], head[8:]
            following: int | None = None
            if _sum(length) == said:
                following = start + _START + int.from_bytes(length, "little") + _END
                if following > end:
                    return
                data, ending = file.read(following - start - _START - _END), file.read(_END)
                if _sum(data) == ending:
                    yield start, following, data
                    start = following
                    continue
            else:
                following = _whole_record(file, start + 1, end)
            if broken is not None:
                broken(start, following)
            if following is None:
                return
            start = following


_WINDOW = 1 << 22
"""Bytes that are searched at once."""


def _whole_record(file: BinaryIO, start: int, end: int) -> int | None:
    """Where the next record begins that fits its checksums."""
    for window in range(start, end, _WINDOW):
        file.seek(window)
        content = file.read(_WINDOW + _START - 1)
        for place in _lengths(np.frombuffer(content, np.uint8)):
            size = int.from_bytes(content[place : place + 8], "little")
            begun = window + place
            if begun + _START + size + _END <= end:
                file.seek(begun + _START)
                data = file.read(size)
                if _sum(data) == file.read(_END):
                    return begun
    return None


def _lengths(content: NDArray[np.uint8]) -> list[int]:
    """Where eight bytes are a length of less than 4 GiB with its checksum behind it."""
    count = len(content) - _START + 1
    if count < 1:
        return []
    parts = [content[i : i + count].astype(np.uint32) for i in range(_START)]
    found = np.full(count, ALL_BITS, np.uint32)
    table = np.array(CRC_TABLE, np.uint32)
    for part in parts[:8]:
        found = table[(found ^ part) & 255] ^ (found >> 8)
    found ^= np.uint32(ALL_BITS)
    masked = (found >> 15 | found << 17) + np.uint32(_DELTA)
    said = parts[8] | parts[9] << 8 | parts[10] << 16 | parts[11] << 24
    small = (parts[4] | parts[5] | parts[6] | parts[7]) == 0
    return [int(place) for place in np.flatnonzero((masked == said) & small)]


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum, TensorBoard's own for all but whole blocks.

    TensorBoard's goes from byte to byte in Python: 9 ms for a picture of 60 KB, 0.4 ms here.
    A checksum is linear: of a block it is the sum of those that its bytes have each alone, all
    others being 0, and the checksum of what comes before counts as its first four bytes.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    rest = len(data) % BLOCK
    found = crc_update(0, data[:rest]) ^ ALL_BITS
    if rest < len(data):
        table, (a, b, c, d) = _tables()
        blocks = np.frombuffer(data, np.uint8)[rest:].reshape(-1, BLOCK)
        alone = table.take(blocks + np.arange(0, BLOCK * 256, 256))
        for of_block in np.bitwise_xor.reduce(alone, axis=1).tolist():
            before = a[found & 255] ^ b[found >> 8 & 255] ^ c[found >> 16 & 255] ^ d[found >> 24]
            found = of_block ^ before
    return int(found ^ ALL_BITS)


@functools.cache
def _tables() -> tuple[NDArray[np.uint32], list[list[int]]]:
    """The checksum of each byte at each place of a block, and lists for its first four places."""
    of_byte = np.array(CRC_TABLE, np.uint32)
    found = [of_byte]
    for _ in range(BLOCK - 1):
        found.append(of_byte[found[-1] & 255] ^ (found[-1] >> 8))  # with one more 0 behind it
    found.reverse()
    return np.stack(found), [table.tolist() for table in found[:4]]


def _sum(data: bytes) -> bytes:
    """Turned and shifted: data that hold their own checksum would always have the same."""
    checksum = crc32c(data)
    return _SUM.pack(((checksum >> 15 | checksum << 17) + _DELTA) & ALL_BITS)
