"""What the numbers of one example are: an image, a sequence, or columns of a table."""

from __future__ import annotations

import numpy as np

from keras_curvature.typing import Array

COLOURS = (1, 3, 4)
"""Channels of an image."""

SQUARE = 0.25
"""An array of two axes is an image if the shorter is at least this share of the longer."""


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether rows and columns are places: of an image, with or without channels.

    Args:
        shape: of an example, without the batch.
    """
    if len(shape) == 2:
        return min(shape) >= SQUARE * max(shape) and min(shape) > COLOURS[-1]
    return len(shape) == 3 and shape[-1] in COLOURS


def is_grid(shape: tuple[int, ...] | None) -> bool:
    """Whether an example is more than a row of a table: an image, a sequence, a volume."""
    return shape is not None and len(shape) > 1 and int(np.prod(shape)) > 2


def on_grid(values: Array, shape: tuple[int, ...]) -> Array:
    """Numbers of an example's entries as an image, `(rows, columns)`.

    Height and width of an image, summed over its channels; channel and step of a sequence.

    Args:
        values: one for each entry, shape `(d,)`.
        shape: of an example, of two axes or more.
    """
    grid = values.reshape(shape)
    if len(shape) == 2:
        return grid if is_image(shape) else grid.T
    return grid.reshape(*shape[:2], -1).sum(axis=-1)


def axes_of(shape: tuple[int, ...]) -> tuple[str, str]:
    """What the rows and the columns of `on_grid` are called."""
    return ("channel", "step") if len(shape) == 2 and not is_image(shape) else ("row", "column")
