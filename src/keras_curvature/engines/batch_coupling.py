"""Whether the examples of a batch influence each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.supported_backend import own_module
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
    z, rest = f.point([leaf[:EXAMPLES] for leaf in leaves])
    call = running.as_called(f)
    count = int(z.shape[0])
    for y in call(z, rest):
        if y.shape[0] != count:
            raise ValueError(fixed_batch.not_a_row_each(int(y.shape[0]), count))
    # Beside copies of itself alone an example would not show what depends on a mean over all.
    moved = xp.where(z == 0, xp.cast(STEP, z.dtype), (1 - STEP) * z)
    # At least twice as many rows as below: what depends on their number shows too.
    times = 2 if count == 1 else 1
    rows = xp.tile(xp.concatenate([z, moved], axis=0), [times, 1])
    together = f.outputs.join(call(rows, [_tiled(r, 2 * times) for r in rest]))
    # Twice the same example, for the models that fail on a batch of one.
    pairs = [[_tiled(t[i : i + 1], 2) for t in (z, *rest)] for i in range(count)]
    found = [f.outputs.join(call(pair[0], pair[1:])) for pair in pairs]
    alone = xp.concatenate([y[:1] for y in found], axis=0)
    return _relative(together[:count], alone)


def randomness(f: TracedFunction, leaves: Sequence[Tensor]) -> float:
    """How much an output changes from one call to the next, relative to the largest output."""
    few = [leaf[:EXAMPLES] for leaf in leaves]
    first, second = _value(f, few), _value(f, few)
    return _relative(first, second)


def _relative(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the largest of all numbers."""
    size = float(xp.max(xp.abs(xp.stack([a, b]))))
    return float(xp.max(xp.abs(a - b))) / size if size else 0.0


def _value(f: TracedFunction, leaves: Sequence[Tensor]) -> Tensor:
    return f(*f.point(leaves))


def _tiled(tensor: Tensor, times: int) -> Tensor:
    return xp.tile(tensor, [times, *[1] * (tensor.ndim - 1)])
