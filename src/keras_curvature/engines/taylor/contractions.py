"""Sums over the numbers of one example: what an op adds to the second derivatives."""

from __future__ import annotations

import math

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.jets import Base, sizes
from keras_curvature.typing import Tensor


def diagonal(a: Tensor, b: Tensor, weight: Tensor | None) -> Tensor:
    """The sums of `weight * a_i * b_i`, shape `(n, m, k)`.

    Args:
        a: a stack `(k, n or 1, …)`.
        b: another.
        weight: `(m, n, …)`, or `None` for 1.
    """
    a, b = _rows(a), _rows(b)
    product = xp.square(a) if a is b else a * b
    if weight is None:
        return xp.transpose(xp.sum(product, axis=2))[:, None]
    w = _rows(weight)
    if product.shape[1] == 1:  # alike for all examples
        return xp.transpose(xp.tensordot(w, product[:, 0], [[2], [1]]), [1, 0, 2])
    if w.shape[0] == 1:
        return xp.transpose(xp.sum(product * w, axis=2))[:, None]
    return xp.einsum("mnu,knu->nmk", w, product)


def pairs(a: Tensor, b: Tensor, weight: Tensor | None) -> Tensor:
    """The sums of `weight * a_i * b_j`, shape `(n, m, k, k)`; arguments as for `diagonal`."""
    a, b = _rows(a), _rows(b)
    if weight is None:
        left, right = xp.transpose(a, [1, 0, 2]), xp.transpose(b, [1, 0, 2])
        return xp.matmul(left, right, transpose_b=True)[:, None]
    w = xp.transpose(_rows(weight), [1, 0, 2])[:, :, None]
    left = xp.transpose(a, [1, 0, 2])[:, None] * w
    if b.shape[1] == 1:
        flat = xp.matmul(xp.reshape(left, [-1, b.shape[2]]), b[:, 0], transpose_b=True)
        return xp.reshape(flat, [-1, w.shape[1], a.shape[0], b.shape[0]])
    right = xp.transpose(b, [1, 0, 2])[:, None]
    return xp.matmul(left, right, transpose_b=True)


def narrowed(weight: Tensor, one: Base, other: Base) -> Tensor:
    """A weight `(m, n, …)` summed along the axes in which both bases are the same throughout."""
    a, b = (list(base.first.shape[2:]) for base in (one, other))
    wide = list(weight.shape[2:])
    alike = [i + 2 for i, sizes_ in enumerate(zip(a, b, wide, strict=True)) if _alike(*sizes_)]
    return xp.sum(weight, axis=alike, keepdims=True) if alike else weight


def _alike(a: int | None, b: int | None, wide: int | None) -> bool:
    return a == b == 1 != wide


def widened(stack: Tensor, weight: Tensor) -> Tensor:
    """A stack broadcast to what is left of a weight, but for the examples."""
    wide = list(weight.shape[2:])
    if list(stack.shape[2:]) == wide or None in wide:
        return stack
    return xp.broadcast_to(stack, [*sizes(stack)[:2], *wide])


def _rows(stack: Tensor) -> Tensor:
    """All that belongs to one example in a row."""
    if stack.ndim == 3:
        return stack
    numbers = list(stack.shape[2:])
    row = -1 if None in numbers else math.prod(numbers)
    return xp.reshape(stack, [*sizes(stack)[:2], row])
