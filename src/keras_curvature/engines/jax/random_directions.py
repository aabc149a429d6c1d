"""Random directions: entries that are cheap to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp


def normal(shape: Sequence[int], seed: int, dtype: Any) -> Any:
    """Normally distributed entries, the same for a seed; float32 where float64 is off."""
    drawn = jax.random.normal(jax.random.key(seed), tuple(shape), "float32")
    return drawn.astype(jax.dtypes.canonicalize_dtype(dtype))


def rademacher(shape: Sequence[int], seed: int) -> Any:
    """Entries of -1 and 1, each as likely (Hutchinson 1990), the same for a seed.

    Args:
        shape: of the result.
        seed: chooses the draw.

    Returns:
        An int8 array.
    """
    heads = jax.random.bits(jax.random.key(seed), tuple(shape), "uint8") & 1
    return 2 * heads.astype("int8") - 1


def sparse_rademacher(shape: Sequence[int], seed: int, examples: Any) -> Any:
    """Entries of 0 two times in three and else `-sqrt(3)` or `sqrt(3)`.

    Args:
        shape: of what is drawn for each example.
        seed: chooses the draw.
        examples: their numbers, `(n,)`: each has its own draw, whichever are drawn together.

    Returns:
        An int8 array `(n, *shape)` of -1, 0 and 1, to be multiplied by `sqrt(3)`.
    """

    def of_one(example: Any) -> Any:
        key = jax.random.fold_in(jax.random.key(seed), example)
        digits = jax.random.randint(key, (math.prod(shape),), 0, 6, "int32")
        return (digits == 1).astype("int8") - (digits == 0).astype("int8")

    return jnp.reshape(jax.vmap(of_one)(examples), (-1, *shape))
