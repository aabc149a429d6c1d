"""Boxes as a user gives them: two structures of arrays, the lower and the upper ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import Layout, matched, numbers_in
from keras_curvature.typing import Array, Model, Structure


def as_boxes(model: Model, low: Structure, high: Structure) -> tuple[Array, Array]:
    """The ends of boxes laid flat, `(boxes, d)` each, in float64.

    Raises:
        ValueError: for ends of different shapes, not finite, or in the wrong order.
        TypeError: for whole numbers, which have no derivative.
    """
    ends = _flat(model, low, "low"), _flat(model, high, "high")
    if ends[0].shape != ends[1].shape:
        raise ValueError(
            "`low` and `high` must have the same shape, (batch, *input_shape). Received: "
            f"{_shapes(model, low)} and {_shapes(model, high)}."
        )
    for name, end in zip(("low", "high"), ends, strict=True):
        if not np.isfinite(end).all():
            bad = int((~np.isfinite(end)).sum())
            raise ValueError(
                f"`{name}` must be finite: bounds over all numbers say nothing of a network. "
                f"Received: {bad} numbers that are not. Give the range that inputs can have."
            )
    wrong = np.argwhere(ends[0] > ends[1])
    if len(wrong):
        box, i = wrong[0]
        raise ValueError(
            "`low` must nowhere be above `high`. Received: "
            f"{ends[0][box, i]:g} above {ends[1][box, i]:g} in box {box}, number {i} of it."
        )
    return ends


def _leaves(model: Model, ends: Structure) -> list[Any]:
    taken, _ = matched(model, ends)
    leaves = keras.tree.flatten(taken)
    if leaves and all(isinstance(leaf, (int, float)) for leaf in leaves):
        return [np.asarray(taken)]
    return leaves


def _shapes(model: Model, ends: Structure) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in _leaves(model, ends)]


def _flat(model: Model, ends: Structure, name: str) -> Array:
    flat = []
    for leaf in _leaves(model, ends):
        numbers = np.asarray(keras.ops.convert_to_numpy(numbers_in(leaf, name)))
        if not np.issubdtype(numbers.dtype, np.floating):
            raise TypeError(
                f"`{name}` must hold floats, as the model's inputs have no derivative otherwise. "
                f"Received: {numbers.dtype}. Write `.astype('float64')` for numbers; of token ids "
                "and the like no box can be made."
            )
        flat.append(numbers.astype(np.float64).reshape(len(numbers), -1))
    return np.concatenate(flat, axis=1)


def unfolded(flat: Array, *layouts: Layout) -> Any:
    """`(boxes, width_1, width_2, …)` as structures of arrays, the first the outermost."""
    return _unfolded(flat, 1, layouts, ())


def _unfolded(flat: Array, axis: int, layouts: Sequence[Layout], shape: tuple[int, ...]) -> Any:
    if not layouts:
        return flat.reshape(len(flat), *shape)
    first, *rest = layouts
    ends = np.cumsum([math.prod(part) for part in first.shapes])
    parts = np.split(flat, ends[:-1], axis=axis)
    return first.pack(
        [
            _unfolded(part, axis + 1, rest, (*shape, *own))
            for part, own in zip(parts, first.shapes, strict=True)
        ]
    )
