"""Structures of tensors as one matrix `(batch, width)`, and back.

The engines see one input vector and one output vector per example. What the user passes
and gets back may be any structure of arrays; this file is the only one that knows both.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.columns import Subset
from keras_curvature.typing import Tensor


@dataclass(frozen=True)
class Layout:
    """Arrays lying side by side in the columns of a matrix.

    Attributes:
        shapes: each array's shape without the batch.
        structure: how they are nested, with each array's index in its place.
        names: one per array.
        ordered: whether they have an order that a user knows. What came in a dict has none: Keras
            sorts its keys.
        subset: which columns of the only array these are, where it has others, which are held.
        beside: whether the model takes other arrays besides, which are held.
    """

    shapes: tuple[tuple[int, ...], ...]
    structure: Any
    names: tuple[str, ...] = ("",)
    ordered: bool = True
    subset: Subset | None = None
    beside: bool = False

    @property
    def whole(self) -> Layout:
        """That of the only array with all its columns."""
        if self.subset is None:
            return self
        return replace(self, shapes=((self.subset.count,),), subset=None)

    @property
    def sizes(self) -> list[int]:
        """How many columns each array takes."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def width(self) -> int:
        """How many columns there are."""
        return sum(self.sizes)

    def join(self, leaves: Sequence[Tensor]) -> Tensor:
        """Lays tensors `(batch, *shape)` side by side, `(batch, width)`."""
        flat = [xp.reshape(leaf, [-1, size]) for leaf, size in zip(leaves, self.sizes, strict=True)]
        return flat[0] if len(flat) == 1 else xp.concatenate(flat, axis=1)

    def split(self, matrix: Tensor) -> list[Tensor]:
        """The tensors `(batch, *shape)` in the columns of `(batch, width)`."""
        parts = xp.split(matrix, self.sizes, axis=1) if len(self.shapes) > 1 else [matrix]
        return [
            xp.reshape(part, [-1, *shape]) for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def pack(self, leaves: Sequence[Any]) -> Any:
        """Nests one thing per array."""
        return keras.tree.map_structure(lambda i: leaves[i], self.structure)

    def in_order(self, given: Any, what: str) -> list[Any]:
        """What a user gives for the arrays, in the order in which they lie: of a dict by its keys.

        Args:
            given: a dict by the names of the arrays, or, where these have an order, a list; or the
                arrays' own structure.
            what: it is called in messages.

        Raises:
            ValueError: for a dict that lacks a name, and for what says by its position only which
                array it is for, where these have none.
        """
        if isinstance(given, Mapping) and not any(isinstance(v, Mapping) for v in given.values()):
            return self.by_name(given, what)
        if not self.ordered:
            try:
                keras.tree.assert_same_structure(self.structure, given)
            except (TypeError, ValueError) as error:
                example = ", ".join(f"{name!r}: ..." for name in self.names)
                raise ValueError(
                    f"{what} must be a dict by name where the model has a dict, whose keys Keras "
                    f"sorts: a list has no names. Received: {type(given).__name__}. "
                    f"Write {{{example}}}."
                ) from error
        return list(keras.tree.flatten(given))

    def by_name(self, given: Mapping[str, Any], what: str) -> list[Any]:
        """What a dict holds for the arrays, in their order; the name of a single one is free.

        Raises:
            ValueError: if it lacks one.
        """
        if len(given) == len(self.names) == 1:
            return list(given.values())
        missing = sorted(set(self.names) - set(given))
        if missing:
            raise ValueError(
                f"{what} as a dict must have an entry for each of {list(self.names)}. Received: "
                f"{sorted(map(str, given))}, without {missing}."
                + (" Of one array give one array." if len(self.names) == 1 else "")
            )
        return [given[name] for name in self.names]


def side_by_side(
    shapes: Sequence[tuple[int, ...]], structure: Any, names: Sequence[str] = ("",)
) -> Layout:
    """The layout of arrays that lie in the order of `keras.tree.flatten(structure)`."""
    indexes = keras.tree.pack_sequence_as(structure, list(range(len(shapes))))
    return Layout(tuple(shapes), indexes, tuple(names), not _in_a_dict(structure))


def keys_in_order(structure: Any) -> list[Any] | None:
    """The keys of a dict of arrays in the order in which Keras flattens it, else `None`.

    That is the order of the alphabet, but for an `OrderedDict`.
    """
    if not isinstance(structure, dict):
        return None
    if any(isinstance(part, (dict, list, tuple)) for part in structure.values()):
        return None
    keys = copy.copy(structure)
    keys.update({key: key for key in structure})
    return list(keras.tree.flatten(keys))


def in_own_order(structure: Any) -> bool:
    """Whether the keys of a dict of arrays were written in the order in which Keras has them."""
    keys = keys_in_order(structure)
    return keys is None or keys == list(structure)


def _in_a_dict(structure: Any) -> bool:
    """Whether arrays are told apart by the key of a dict, however deep."""
    if not isinstance(structure, (dict, list, tuple)):
        return False
    parts = list(structure.values() if isinstance(structure, dict) else structure)
    return (isinstance(structure, dict) and len(parts) > 1) or any(map(_in_a_dict, parts))


def unflatten(tensor: Tensor, *layouts: Layout) -> Any:
    """Unfolds `(batch, width_1, width_2, …)` into structures of arrays.

    Args:
        tensor: one axis per layout after the batch.
        *layouts: what lies along each axis; the first is the outermost structure.

    Returns:
        Nested structures of tensors `(batch, *shape_1, *shape_2, …)`.
    """
    return _unfold(tensor, 1, layouts, [])


def unflattened_shapes(*layouts: Layout) -> Any:
    """The shapes, without the batch, of what `unflatten` gives, nested as it nests."""
    return _shapes(layouts, ())


def _shapes(layouts: Sequence[Layout], shape: tuple[int, ...]) -> Any:
    if not layouts:
        return Shape(shape)
    layout, *rest = layouts
    return layout.pack([_shapes(rest, (*shape, *part)) for part in layout.shapes])


@dataclass(frozen=True)
class Shape:
    """A shape that is no structure of numbers."""

    sizes: tuple[int, ...]


def _unfold(tensor: Any, axis: int, layouts: Sequence[Layout], shape: list[int]) -> Any:
    if not layouts:
        return tensor if _has(tensor, shape) else xp.reshape(tensor, [-1, *shape])
    layout, *rest = layouts
    parts = xp.split(tensor, layout.sizes, axis=axis) if len(layout.shapes) > 1 else [tensor]
    return layout.pack(
        [
            _unfold(part, axis + 1, rest, [*shape, *part_shape])
            for part, part_shape in zip(parts, layout.shapes, strict=True)
        ]
    )


def _has(tensor: Tensor, shape: list[int]) -> bool:
    return tensor.ndim == len(shape) + 1 and list(tensor.shape[1:]) == shape


def fits(wanted: Sequence[int | None], shape: Sequence[int | None]) -> bool:
    """Whether shapes agree wherever both are known."""
    return len(wanted) == len(shape) and all(
        a == b or a is None or b is None for a, b in zip(wanted, shape, strict=True)
    )
