"""Rows in batches of their copies, where a model takes so many examples and no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_curvature.engines.programs.fixed_batch import not_a_row_each, placed, rows, size

__all__ = ["by_batch", "not_a_row_each", "placed", "rows", "size"]


def by_batch(
    compute: Callable[[Sequence[Any]], Sequence[Any]],
    arrays: Sequence[Any],
    place: Any,
    batch: int,
) -> list[Any]:
    """`compute` on any rows, each in a batch of its copies, one after the other.

    Args:
        compute: takes and gives one batch.
        arrays: `(rows, …)`.
        place: of each row in its batch, `(rows,)`.
        batch: how many examples one has.
    """
    found = []
    for row, chosen in enumerate(place.tolist()):
        together = compute([x[row].expand(batch, *x.shape[1:]) for x in arrays])
        found.append([y[chosen] for y in together])
    return [torch.stack(list(parts)) for parts in zip(*found, strict=True)]
