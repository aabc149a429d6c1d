"""Loops over slices and until a condition fails, one turn after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from keras_curvature.engines.torch import conversion
from keras_curvature.typing import Tensor


def map_slices(
    function: Callable[[Tensor], Tensor], stack: Tensor, like: Tensor, at_once: int = 1
) -> Tensor:
    """`function` of one slice of a stack after the other; the results are like a given tensor."""
    if not len(stack):
        return torch.zeros((0, *like.shape), dtype=like.dtype, device=stack.device)
    return torch.stack([function(slice_) for slice_ in stack])


def sum_of(part: Callable[[Tensor], Tensor], blocks: Tensor) -> Tensor:
    """The sum of `part` over the slices of `blocks`, one after the other."""
    total = part(blocks[0])
    for block in blocks[1:]:
        total = total + part(block)
    return total


def while_loop(
    goes_on: Callable[..., Tensor],
    advance: Callable[..., Sequence[Tensor]],
    state: Sequence[Tensor],
    most: int,
) -> Sequence[Tensor]:
    """The state that `advance(*state)` leaves when `goes_on(*state)` does not, or after so many.

    Where there are no numbers to ask, all turns are taken and those that are too many undone.
    """
    state = tuple(state)
    for _ in range(most):
        more = goes_on(*state)
        if conversion.has_numbers(more):
            if not more:
                break
            state = tuple(advance(*state))
        else:
            pairs = zip(advance(*state), state, strict=True)
            state = tuple(torch.where(more, after, before) for after, before in pairs)
    return state
