"""Splitting work so that its memory stays bounded."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.typing import Tensor

compilation = own_module("compilation")

MEMORY_BUDGET = 512 * 2**20
"""Bytes that the intermediate results of one chunk may take, by estimate.

Half of it made a transformer's trace on TensorFlow a fifth slower, twice as much no faster.
"""

LIVE_COPIES = 4
"""Forward, backward, and both again for the second derivative, of every activation."""

LIVE_WIDTHS = 8
"""Intermediate results that are alive at once in a forward pass, each as large as the largest.

What is not needed any more is freed. Measured for ResNet50 at 224 x 224 with eight directions:
less than half of what this allows for.
"""

WHOLE = sys.maxsize
"""A size that means the whole batch at once, also in a graph that does not know its size."""

Chunk = Callable[..., dict[str, Tensor]]


def rows_at_once(numbers_per_row: int, dtype: Any) -> int:
    """How many rows fit into the memory budget, if each holds that many numbers."""
    return max(1, MEMORY_BUDGET // (LIVE_COPIES * xp.itemsize(dtype) * max(1, numbers_per_row)))


def rows_forward(activations: int, widest: int, inputs: int, dtype: Any) -> int:
    """How many rows fit if they go through the model once, forward.

    Args:
        activations: numbers in all intermediate results of a row together.
        widest: numbers in the largest of them.
        inputs: numbers in a point and its direction each.
        dtype: of the numbers.
    """
    active = min(LIVE_COPIES * activations, LIVE_WIDTHS * widest)
    return max(1, MEMORY_BUDGET // (xp.itemsize(dtype) * max(1, active + 4 * inputs)))


def counted(examples: int) -> str:
    """So many examples, in words."""
    return f"{examples} example{'s' * (examples != 1)}"


def at_once(asked: int | None, planned: int, batch: Tensor) -> int:
    """How many examples go through together: as many as asked for, or else as planned.

    In a graph for XLA that does not know its batch all of them, unless asked otherwise: in a
    loop over chunks whose size is not known the derivative of a reshape cannot be compiled, and
    chunks of a planned size would be filled up with far more than the batch.
    """
    if asked is None and compilation.inside_xla() and batch.shape[0] is None:
        return WHOLE
    return asked or planned


def even(count: Any, size: Any) -> Any:
    """The size of equal chunks, none larger than `size`; the fewest that are needed."""
    chunks = -(-count // size)
    return -(-count // chunks)


def dividing(count: int, size: int) -> int:
    """The size of equal chunks, the last of which is not smaller if it can be helped.

    What is compiled for one size only would be compiled again for the last chunk.
    """
    whole = (some for some in range(size, size // 2, -1) if count % some == 0)
    return next(whole, even(count, size))


_watcher: ContextVar[Callable[[int, int], None] | None] = ContextVar("watcher", default=None)


@contextlib.contextmanager
def watched_by(watcher: Callable[[int, int], None]) -> Iterator[None]:
    """Has `watcher(done, total)` called after each chunk of what is computed eagerly here."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def tell(done: int, total: int) -> None:
    """Tells the watcher, if there is one, how much of something is done."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(done, total)


def eagerly(compute: Chunk, tensors: Sequence[Tensor], size: int) -> dict[str, Tensor]:
    """Calls `compute` on slices of `tensors` and joins the results."""
    n = int(tensors[0].shape[0])
    if n <= size:
        return compute(*tensors)
    size = dividing(n, size)
    parts = []
    for start in range(0, n, size):
        parts.append(compute(*(tensor[start : start + size] for tensor in tensors)))
        tell(min(start + size, n), n)
    return {name: xp.concatenate([part[name] for part in parts], axis=0) for name in parts[0]}


def as_fits(
    compute: Chunk, tensors: Sequence[Tensor], size: int, smaller: Callable[[int], None]
) -> dict[str, Tensor]:
    """`eagerly`, with half as many examples at a time for as long as the memory runs out.

    Args:
        compute: applied to slices.
        tensors: with the examples as the first axis.
        size: how many examples at a time to begin with.
        smaller: told each new size.

    Raises:
        MemoryError: in the backend's own form, if there is not enough memory for one example.
    """
    size = min(size, int(tensors[0].shape[0]))
    while True:
        try:
            return eagerly(compute, tensors, size)
        except compilation.OUT_OF_MEMORY as error:
            if not compilation.ran_out(error):
                raise
            if size == 1:
                raise compilation.saying(
                    "The memory does not suffice for one example at a time", error
                ) from error
        # Outside of `except`, whose traceback would keep the tensors that did not fit.
        size = even(size, -(-size // 2))
        smaller(size)


def plan(rows: int, per_example: int, directions: int) -> tuple[int, int]:
    """Divides `rows` that fit at once into examples and directions.

    Args:
        rows: how many (example, output, direction) rows fit into memory.
        per_example: rows that one example needs for one direction (its outputs).
        directions: directions per example.

    Returns:
        Examples at once, and directions at once; each at least one.
    """
    directions_at_once = min(directions, max(1, rows // per_example))
    return max(1, rows // (per_example * directions_at_once)), max(1, directions_at_once)
