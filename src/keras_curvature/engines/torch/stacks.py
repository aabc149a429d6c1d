"""Sums and products of stacks of directions, in forms in which PyTorch is fast, also backwards."""

from __future__ import annotations

import torch

from keras_curvature.typing import Tensor


def scaled(stack: Tensor, factor: Tensor) -> Tensor:
    """Every slice of a stack times a tensor of its size."""
    return factor * stack


def sum_over_directions(stack: Tensor) -> Tensor:
    """The sum of a stack over its first axis, which stays, with length 1."""
    return torch.sum(stack, dim=0, keepdim=True)


def sum_of_squares_over_directions(stack: Tensor) -> Tensor:
    """The same of its squares."""
    return sum_over_directions(torch.square(stack))
