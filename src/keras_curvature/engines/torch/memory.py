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
    """Where the numbers of a tensor lie in memory."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    def places(self) -> torch.Tensor:
        """The place of each number, in the shape of the tensor."""
        found = torch.full((), self.offset)
        for size, stride in zip(self.size, self.stride, strict=True):
            found = found[..., None] + stride * torch.arange(size)
        return found


def geometry_of(tensor: torch.Tensor) -> Geometry:
    """Where the numbers of a tensor lie."""
    return Geometry(tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()))


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
        whole, *written = inputs
        places = self.owner.places().flatten()
        order = torch.zeros(int(places.max()) + 1, dtype=torch.int64)
        order[places] = torch.arange(places.numel())
        index = order[self.part.places().flatten()].to(whole.device)
        flat = whole.reshape(-1)
        if self.type == READ:
            return [flat.index_select(0, index).reshape(self.part.size)]
        found = flat.scatter(0, index, written[0].reshape(-1).to(flat.dtype))
        return [found.reshape(self.owner.size)]
