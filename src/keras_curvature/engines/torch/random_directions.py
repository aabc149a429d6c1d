"""Random directions: entries that are cheap to draw, and leave PyTorch's own generator alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from keras.src.backend.torch.core import get_device

from keras_curvature.engines.torch import arrays
from keras_curvature.typing import Tensor

DIGITS = 12
"""Digits to the base 6 that one number of 60 bits gives, each value as likely to 1 in 10⁸."""

BITS = 60
"""Of which a number may have at most, for six times as much to be one of 63 bits."""


STEP, FIRST, SECOND = (
    n - 2**64 for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
"""Odd numbers of 64 bits that scatter those of others: see `_mixed`."""


def normal(shape: Sequence[int], seed: int, dtype: Any) -> Tensor:
    """Normally distributed entries, the same for a seed in every dtype."""
    wanted, device = arrays.dtype_of(dtype), torch.device(get_device())
    drawn = torch.randn(tuple(shape), generator=_generator(seed, device), device=device)
    return drawn.to(wanted)


def rademacher(shape: Sequence[int], seed: int) -> Tensor:
    """Entries of -1 and 1, each as likely (Hutchinson 1990), the same for a seed.

    Args:
        shape: of the result; a longer first axis continues the shorter.
        seed: chooses the draw.

    Returns:
        An int8 tensor: a float one of the same numbers would be four times as large.
    """
    device, count = torch.device(get_device()), math.prod(shape)
    # Each bit is one: drawing a number for each entry would take as long as a layer.
    words = torch.empty(-(-count // 64), dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=_generator(seed, device))
    shifts = torch.arange(8, dtype=torch.uint8, device=device)
    heads = (words.view(torch.uint8)[:, None] >> shifts) & 1
    return (2 * heads.reshape(-1)[:count].to(torch.int8) - 1).reshape(tuple(shape))


def sparse_rademacher(shape: Sequence[int], seed: int, examples: Any) -> Tensor:
    """Entries of 0 two times in three and else `-sqrt(3)` or `sqrt(3)`.

    Args:
        shape: of what is drawn for each example.
        seed: chooses the draw.
        examples: their numbers, `(n,)`: each has its own draw, whichever are drawn together.

    Returns:
        An int8 tensor `(n, *shape)` of -1, 0 and 1, to be multiplied by `sqrt(3)`.
    """
    numbers, count = arrays.cast(examples, torch.int64), math.prod(shape)
    keys = _mixed(_mixed(torch.full_like(numbers, _signed(seed))) ^ numbers)
    places = torch.arange(-(-count // DIGITS), device=numbers.device)
    left = _mixed(keys[:, None] + STEP * places) & (2**BITS - 1)
    digits = torch.empty(*left.shape, DIGITS, dtype=torch.int8, device=left.device)
    for i in range(DIGITS):
        left = 6 * left
        digits[..., i] = left >> BITS
        left = left & (2**BITS - 1)
    n = len(numbers)
    flat = digits.reshape(n, len(places) * DIGITS)[:, :count]
    # 0 to 5: -1, 1, and four that give 0.
    return ((flat == 1).to(torch.int8) - (flat == 0).to(torch.int8)).reshape(n, *shape)


def _generator(seed: int, device: torch.device) -> Any:
    """One of this call's own, or none where there are no numbers."""
    if device.type == "meta":
        return None
    # Of the seed itself a CPU's generator would see no more than 32 bits.
    (scattered,) = np.random.SeedSequence(seed % 2**64).generate_state(1)
    return torch.Generator(device).manual_seed(int(scattered))


def _signed(seed: int) -> int:
    """The number of 64 bits with a sign that has the same bits."""
    return (seed + 2**63) % 2**64 - 2**63


def _mixed(words: Tensor) -> Tensor:
    """Each number of 64 bits as another that tells nothing of it, one to one.

    Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    words = words + STEP
    words = (words ^ _right(words, 30)) * FIRST
    words = (words ^ _right(words, 27)) * SECOND
    return words ^ _right(words, 31)


def _right(words: Tensor, by: int) -> Tensor:
    """Shifted as if there were no sign."""
    return (words >> by) & (2 ** (64 - by) - 1)
