"""Sums and products of stacks of directions, in forms in which PyTorch is fast, also backwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_curvature.typing import Tensor

LARGE = 2**18
"""Numbers from which on `_SumOfSquares` is worth the tenth of a millisecond that it takes itself.

Forwards and backwards it takes a third as long as plain ops at 64 directions of 512 examples with
256 units, which do not fit in a CPU's caches, and as long at an eighth of that.
"""


CACHED = 2**20
"""Bytes of a stack on the way that stay in a CPU's caches."""


def in_turns(
    function: Callable[[Tensor], Tensor], parts: Sequence[Tensor], like: Tensor
) -> tuple[list[Tensor], Tensor | None]:
    """`function` of some directions after others, and the sum of the squares of what it gives.

    All at once where that is no longer, and where it is to be differentiated: then there is no sum.

    Args:
        function: of a stack; treats the directions alike.
        parts: of a stack.
        like: of the size of what the function makes for one direction.
    """
    known = len(parts) > 1
    apart = torch.is_grad_enabled() or torch._C._are_functorch_transforms_active()
    if apart or like.device.type != "cpu":
        return [function(torch.cat(list(parts)) if known else parts[0])], None
    if not known:
        at_once = max(1, CACHED // max(1, like.numel() * like.element_size()))
        if at_once >= len(parts[0]):
            return [function(parts[0])], None
        parts = parts[0].split(at_once)
    found, total = [], None
    for part in parts:
        stack = function(part)
        found.append(stack)
        total = torch.square(stack[0]) if total is None else total.addcmul_(stack[0], stack[0])
        for slice_ in stack[1:]:
            total.addcmul_(slice_, slice_)
    assert total is not None
    return found, total[None]


def scaled(stack: Tensor, factor: Tensor) -> Tensor:
    """Every slice of a stack times a tensor of its size."""
    return factor * stack


def sum_over_directions(stack: Tensor) -> Tensor:
    """The sum of a stack over its first axis, which stays, with length 1."""
    return torch.sum(stack, dim=0, keepdim=True, dtype=stack.dtype)


def sum_of_squares_over_directions(stack: Tensor) -> Tensor:
    """The same of its squares."""
    if not torch.is_grad_enabled():
        return _added_up(stack)
    if stack.numel() < LARGE:
        return sum_over_directions(stack * stack)
    result: Tensor = _SumOfSquares.apply(stack)
    return result


def _added_up(stack: Tensor) -> Tensor:
    total = torch.square(stack[0])
    for slice_ in stack[1:]:
        total.addcmul_(slice_, slice_)
    return total[None]


class _SumOfSquares(torch.autograd.Function):
    """One direction after the other, so that there is no stack of squares.

    With `setup_context`, without which `torch.func` does not take it.
    """

    @staticmethod
    def forward(stack: Tensor) -> Tensor:
        return _added_up(stack)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (stack,) = ctx.saved_tensors
        return stack * (2 * gradient)

    @staticmethod
    def jvp(ctx: Any, along: Tensor) -> Tensor:
        (stack,) = ctx.saved_tensors
        return 2 * sum_over_directions(stack * along)

    @staticmethod
    def vmap(info: Any, in_dims: Any, stack: Tensor) -> tuple[Tensor, int]:
        return _SumOfSquares.apply(stack.movedim(in_dims[0], 1)), 1
