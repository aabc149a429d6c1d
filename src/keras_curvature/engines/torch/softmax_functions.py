"""Softmax and its kin, with derivatives that keep their digits where one entry outweighs the rest.

The slope of the largest probability is `p (t - Σ pⱼ tⱼ)`, of which nothing is left in float32 once
`p` rounds to 1. Less the largest entry's own `t`, the sum has no such `p` in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def places_of_largest(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Whether an entry is the largest of its row, or the first of several."""
    place = torch.argmax(x, dim, keepdim=True)
    return torch.zeros_like(x, dtype=torch.bool).scatter(dim, place, True)


def deviation(p: torch.Tensor, stack: torch.Tensor, dim: int) -> torch.Tensor:
    """`t - Σ p t` along an axis.

    Args:
        p: probabilities.
        stack: of their shape, or with more axes in front.
        dim: the axis of `p`, counted from the end.
    """
    chosen = places_of_largest(p, dim).to(p.dtype)
    relative = stack - torch.sum(chosen * stack, dim, keepdim=True)
    return relative - torch.sum(p * relative, dim, keepdim=True)


class _Softmax(torch.autograd.Function):
    """`exp(xᵢ) / Σ exp(xⱼ)`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, dim: int) -> torch.Tensor:
        return torch.softmax(x, dim)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, ctx.dim = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        p = softmax(x, ctx.dim)
        return p * deviation(p, upstream, ctx.dim), None


def softmax(x: torch.Tensor, dim: int) -> torch.Tensor:
    """`exp(xᵢ) / Σ exp(xⱼ)` along an axis."""
    found: torch.Tensor = _Softmax.apply(x, dim if dim < 0 else dim - x.ndim)
    return found


def log_softmax(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Its logarithm, relative to the largest entry, whose own 0 depends on nothing."""
    relative, _ = _less_largest(x, dim)
    return relative - torch.log(torch.sum(torch.exp(relative), dim, keepdim=True))


def logsumexp(x: torch.Tensor, dims: Sequence[int], keepdim: bool = False) -> torch.Tensor:
    """`log Σ exp(xⱼ)`."""
    dims = [d % x.ndim for d in dims] or list(range(x.ndim))
    for dim in sorted(dims, reverse=True):
        x = _logsumexp(x, dim, keepdim)
    return x


def _logsumexp(x: torch.Tensor, dim: int, keepdim: bool) -> torch.Tensor:
    relative, highest = _less_largest(x, dim)
    total = highest + torch.log(torch.sum(torch.exp(relative), dim, keepdim=True))
    return total if keepdim else total.squeeze(dim)


def _less_largest(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`x` less the largest entry of each row, there 0, and these entries, unless infinite."""
    largest = places_of_largest(x.detach(), dim)
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    highest = torch.sum(torch.where(largest, x, zero), dim, keepdim=True)
    finite = torch.isfinite(highest)
    shift = torch.where(finite, highest, zero)
    relative = torch.where(largest & finite, zero, x - shift)
    return relative, shift
