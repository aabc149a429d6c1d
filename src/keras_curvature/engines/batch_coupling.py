"""Whether the examples of a batch influence each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.traced_function import TracedFunction
from keras_curvature.typing import Tensor

compilation = own_module("compilation")
fixed_batch = own_module("fixed_batch")
made_up_batch = own_module("made_up_batch")
running = own_module("running")

EXAMPLES = 4
"""How many examples are tried together and one by one."""

TOLERANCE = 1e-3
"""Relative difference that rounding in another batch size does not explain, even in a deep
float32 network; coupled examples differ by far more."""

STEP = 0.1
"""How far from each example another one is put beside it, relative to its numbers."""


def warn_if_coupled(f: TracedFunction, leaves: Sequence[Tensor]) -> bool:
    """Whether `influence` is more than rounding, of which it warns.

    All derivatives here are per example: the gradient of a batch's sum is taken apart into
    its examples. Where one example's output depends on another's input (a statistic over the
    batch, say), that is not a derivative of anything.

    In a graph, where there are no numbers to look at, it looks at made-up ones.
    """
    if running.has_numbers(f, leaves):
        return _warns(f, leaves)
    found: bool = made_up_batch.seen_by(_warns, f, leaves, EXAMPLES)
    return found


def _warns(f: TracedFunction, leaves: Sequence[Tensor]) -> bool:
    with compilation.computing_in(f.dtype):
        found = influence(f, leaves)
    coupled = found > TOLERANCE  # False for NaN: that is another problem
    if coupled:
        warnings.warn(
            "The model gives an example another output when other examples are in the batch "
            f"(up to {found:.1%} of the largest output here): its examples "
            "influence each other, or it is random. Derivatives per example are not defined "
            "for such a model, and what is computed is the derivative of the batch's sum.",
            stacklevel=2,
        )
    return coupled


def influence(f: TracedFunction, leaves: Sequence[Tensor]) -> float:
    """How much an output changes with the other examples, relative to the largest output.

    Compares the model on a few examples together, and on others close to them, with the model on
    each alone.

    Raises:
        ValueError: if the output has not a row for each example.
    """
    z, *rest = (xp.to_numpy(x) for x in _point(f, [leaf[:EXAMPLES] for leaf in leaves]))
    as_called = running.as_called(f)

    def call(z: Any, rest: Sequence[Any]) -> list[Tensor]:
        return as_called(xp.constant(z), list(map(xp.constant, rest)))

    count = len(z)
    for y in call(z, rest):
        if y.shape[0] != count:
            raise ValueError(fixed_batch.not_a_row_each(int(y.shape[0]), count))
    # Beside copies of itself alone an example would not show what depends on a mean over all.
    moved = np.where(z == 0, z.dtype.type(STEP), z.dtype.type(1 - STEP) * z)
    # At least twice as many rows as below: what depends on their number shows too.
    times = 2 if count == 1 else 1
    rows = np.tile(np.concatenate([z, moved]), [times, 1])
    together = xp.to_numpy(f.outputs.join(call(rows, [_tiled(r, 2 * times) for r in rest])))
    # Twice the same example, for the models that fail on a batch of one.
    pairs = [[_tiled(t[i : i + 1], 2) for t in (z, *rest)] for i in range(count)]
    found = [xp.to_numpy(f.outputs.join(call(pair[0], pair[1:]))) for pair in pairs]
    alone = np.concatenate([y[:1] for y in found])
    return _relative(together[:count], alone)


def randomness(f: TracedFunction, leaves: Sequence[Tensor]) -> float:
    """How much an output changes from one call to the next, relative to the largest output."""
    few, call = [leaf[:EXAMPLES] for leaf in leaves], running.as_called(f)
    first, second = (xp.to_numpy(f.outputs.join(call(*f.point(few)))) for _ in range(2))
    return _relative(first, second)


def _relative(a: Any, b: Any) -> float:
    """The largest difference, relative to the largest of all numbers."""
    with np.errstate(invalid="ignore"):  # NaN is another problem
        size = float(np.abs(np.stack([a, b])).max())
        return float(np.abs(a - b).max()) / size if size else 0.0


def _point(f: TracedFunction, leaves: Sequence[Tensor]) -> list[Tensor]:
    z, rest = f.point(leaves)
    return [z, *rest]


def _tiled(array: Any, times: int) -> Any:
    return np.tile(array, [times, *[1] * (array.ndim - 1)])
