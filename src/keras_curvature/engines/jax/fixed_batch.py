"""Rows in batches of their copies, where a model takes so many examples and no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from keras_curvature.engines.programs.fixed_batch import not_a_row_each, placed, rows, size

__all__ = ["by_batch", "not_a_row_each", "placed", "rows", "size"]


def by_batch(
    compute: Callable[[Sequence[Any]], Sequence[Any]],
    arrays: Sequence[Any],
    place: Any,
    batch: int,
) -> list[Any]:
    """`compute` on any rows, each in a batch of its copies.

    Args:
        compute: takes and gives one batch.
        arrays: `(rows, …)`.
        place: of each row in its batch, `(rows,)`.
        batch: how many examples one has.
    """

    def one(place: Any, *row: Any) -> list[Any]:
        found = compute([jnp.broadcast_to(x, (batch, *x.shape)) for x in row])
        return [jnp.take(y, place, axis=0) for y in found]

    return jax.vmap(one)(place, *arrays)
