"""Tensors that share memory, as functions of the one that was there first.

What is written into a part of a tensor changes the tensor; in a program it makes another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

READ, WRITE = "read of memory", "write to memory"
"""Types of operations."""


@dataclass(frozen=True)
class Geometry:
    """Where the numbers of a tensor lie in memory; a complex one is two of them."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    is_complex: bool

    def places(self) -> torch.Tensor:
        """The place of each number, in the shape of the tensor."""
        found = torch.full((), self.offset)
        for size, stride in zip(self.size, self.stride, strict=True):
            found = found[..., None] + stride * torch.arange(size)
        return found


def geometry_of(tensor: torch.Tensor) -> Geometry:
    """Where the numbers of a tensor lie."""
    size, stride, offset = tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset())
    if not tensor.is_complex():
        return Geometry(size, stride, offset, False)
    return Geometry((*size, 2), (*(2 * step for step in stride), 1), 2 * offset, True)


@dataclass(frozen=True, eq=False)
class Memory:
    """Reads a part of a tensor, or writes one.

    Attributes:
        type: `READ`, of a tensor; or `WRITE`, of a tensor and what is written into it.
        owner: where the tensor lies.
        part: where the part lies.
    """

    type: str
    owner: Geometry
    part: Geometry

    @property
    def params(self) -> dict[str, Any]:
        """None that a rule looks at."""
        return {}

    def run(self, inputs: Sequence[Any], dtype: Any = None) -> list[Any]:
        """The results for other inputs."""
        whole, *written = map(_real, inputs)
        places = self.owner.places().flatten()
        order = torch.zeros(int(places.max()) + 1, dtype=torch.int64)
        order[places] = torch.arange(places.numel())
        index = order[self.part.places().flatten()].to(whole.device)
        flat = whole.reshape(-1)
        if self.type == READ:
            return [_shaped(flat.index_select(0, index), self.part)]
        found = flat.scatter(0, index, written[0].reshape(-1).to(flat.dtype))
        return [_shaped(found, self.owner)]


def _real(tensor: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _shaped(numbers: torch.Tensor, like: Geometry) -> torch.Tensor:
    numbers = numbers.reshape(like.size)
    return torch.view_as_complex(numbers) if like.is_complex else numbers
