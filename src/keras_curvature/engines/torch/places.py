"""Which slot of a program stands for which tensor, while memory is written in place.

Tensors that share memory change together: a write to one of them is noted in what stands for the
piece of memory, and read out of it where another one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from keras_curvature.engines.programs.program import Slot
from keras_curvature.engines.torch.memory import READ, WRITE, Memory, geometry_of

Step = Callable[[str, Memory, Sequence[Slot], Sequence[torch.Tensor]], list[Slot]]
"""Writes an instruction down: its type, call, inputs, and tensors that its results are like."""


@dataclass
class _Storage:
    """A piece of memory, and what writes in place have made of it.

    Attributes:
        owner: the tensor that was seen in it first, which is kept.
        slot: what stands for the owner now.
        version: how often it was written to.
    """

    owner: torch.Tensor
    slot: Slot
    version: int = 0


@dataclass
class _Place:
    """What stands for a tensor, and the version of its memory when it did."""

    tensor: torch.Tensor
    slot: Slot
    version: int


class Places:
    """The slots of tensors, which are known by their identity."""

    def __init__(self, step: Step) -> None:
        """Knows no tensor.

        Args:
            step: writes down what memory is read and written by.
        """
        self._step = step
        self._places: dict[int, _Place] = {}
        self._storages: dict[int, _Storage] = {}

    def know(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor, or another one in its memory, has a slot."""
        return id(tensor) in self._places or _memory(tensor) in self._storages

    def put(self, tensor: torch.Tensor, slot: Slot) -> None:
        """Has a slot stand for a tensor."""
        memory = _memory(tensor)
        storage = self._storages.get(memory)
        if storage is None or storage.owner.device != tensor.device:
            storage = self._storages[memory] = _Storage(tensor, slot)
        self._places[id(tensor)] = _Place(tensor, slot, storage.version)

    def slot_of(self, tensor: torch.Tensor) -> Slot | None:
        """What stands for a tensor, after all that was written to its memory."""
        place = self._places.get(id(tensor))
        if place is None:
            return None
        storage = self._storages.get(_memory(tensor))
        if storage is not None and place.version != storage.version:
            self._read_again(tensor, place, storage)
        return place.slot

    def look(self, tensor: torch.Tensor) -> bool:
        """Reads a tensor out of the memory that it lies in; whether there is such."""
        storage = self._storages.get(_memory(tensor))
        if storage is not None:
            place = self._places[id(tensor)] = _Place(tensor, storage.slot, storage.version)
            self._read_again(tensor, place, storage)
        return storage is not None

    def store(self, tensor: torch.Tensor, slot: Slot) -> None:
        """Has a slot stand for a tensor that was written in place, and for all others there."""
        memory = _memory(tensor)
        storage = self._storages.get(memory)
        if storage is None:
            self.put(tensor, slot)
            return
        storage.version += 1
        owner = storage.owner
        if geometry_of(owner) == geometry_of(tensor):
            storage.slot = slot
        else:
            write = Memory(WRITE, geometry_of(owner), geometry_of(tensor))
            (storage.slot,) = self._step(WRITE, write, (storage.slot, slot), [owner])
            owners = self._places.get(id(owner))
            if owners is not None:
                owners.slot, owners.version = storage.slot, storage.version
        self._places[id(tensor)] = _Place(tensor, slot, storage.version)

    def _read_again(self, tensor: torch.Tensor, place: _Place, storage: _Storage) -> None:
        """What a tensor is after another one wrote to its memory."""
        if geometry_of(storage.owner) == geometry_of(tensor):
            place.slot = storage.slot
        else:
            read = Memory(READ, geometry_of(storage.owner), geometry_of(tensor))
            (place.slot,) = self._step(READ, read, (storage.slot,), [tensor])
        place.version = storage.version


def _memory(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
