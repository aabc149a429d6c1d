"""Structures of tensors as one matrix `(batch, width)`, and back.

The engines see one input vector and one output vector per example. What the user passes
and gets back may be any structure of arrays; this file is the only one that knows both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf


@dataclass(frozen=True)
class Layout:
    """Arrays lying side by side in the columns of a matrix.

    Attributes:
        shapes: each array's shape without the batch.
        structure: how they are nested, with each array's index in its place.
    """

    shapes: tuple[tuple[int, ...], ...]
    structure: Any

    @property
    def sizes(self) -> list[int]:
        """How many columns each array takes."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def width(self) -> int:
        """How many columns there are."""
        return sum(self.sizes)

    def join(self, leaves: Sequence[tf.Tensor]) -> tf.Tensor:
        """Lays tensors `(batch, *shape)` side by side, `(batch, width)`."""
        flat = [tf.reshape(leaf, [-1, size]) for leaf, size in zip(leaves, self.sizes, strict=True)]
        return flat[0] if len(flat) == 1 else tf.concat(flat, axis=1)

    def split(self, matrix: tf.Tensor) -> list[tf.Tensor]:
        """The tensors `(batch, *shape)` in the columns of `(batch, width)`."""
        parts = tf.split(matrix, self.sizes, axis=1) if len(self.shapes) > 1 else [matrix]
        return [
            tf.reshape(part, [-1, *shape]) for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def pack(self, leaves: Sequence[Any]) -> Any:
        """Nests one thing per array."""
        return keras.tree.map_structure(lambda i: leaves[i], self.structure)


def side_by_side(shapes: Sequence[tuple[int, ...]], structure: Any) -> Layout:
    """The layout of arrays that lie in the order of `keras.tree.flatten(structure)`."""
    indexes = keras.tree.pack_sequence_as(structure, list(range(len(shapes))))
    return Layout(tuple(shapes), indexes)


def unflatten(tensor: tf.Tensor, *layouts: Layout) -> Any:
    """Unfolds `(batch, width_1, width_2, …)` into structures of arrays.

    Args:
        tensor: one axis per layout after the batch.
        *layouts: what lies along each axis; the first is the outermost structure.

    Returns:
        Nested structures of tensors `(batch, *shape_1, *shape_2, …)`.
    """
    return _unfold(tensor, 1, layouts, [])


def _unfold(tensor: Any, axis: int, layouts: Sequence[Layout], shape: list[int]) -> Any:
    if not layouts:
        return tensor if _has(tensor, shape) else tf.reshape(tensor, [-1, *shape])
    layout, *rest = layouts
    parts = tf.split(tensor, layout.sizes, axis=axis) if len(layout.shapes) > 1 else [tensor]
    return layout.pack(
        [
            _unfold(part, axis + 1, rest, [*shape, *part_shape])
            for part, part_shape in zip(parts, layout.shapes, strict=True)
        ]
    )


def _has(tensor: tf.Tensor, shape: list[int]) -> bool:
    return tensor.shape.rank == len(shape) + 1 and tensor.shape[1:].as_list() == shape
