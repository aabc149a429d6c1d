"""Keras's masks, which say what of a tensor is there: each hangs on its tensor as an attribute.

To the engines a mask is one more array per example that is given and not differentiated by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras.src.backend import get_keras_mask, set_keras_mask

from keras_curvature.engines.arrays import xp


def mask_of(tensor: Any) -> Any:
    """The mask of a tensor, or `None`."""
    return get_keras_mask(tensor)


def masked(tensor: Any, mask: Any) -> Any:
    """`tensor` with this mask; what was given stays without it. `None` changes nothing."""
    if mask is None:
        return tensor
    if isinstance(tensor, keras.KerasTensor):
        copy = keras.KerasTensor(tensor.shape, tensor.dtype)
    else:
        copy = xp.copy(tensor)
    set_keras_mask(copy, mask)
    return copy


def packed(structure: Any, tensors: Sequence[Any], where: Sequence[int]) -> Any:
    """Nests arrays as the model takes them, the masks among them hung where they belong.

    Args:
        structure: of the arrays.
        tensors: the arrays, then the masks.
        where: for each mask, the index of its array.
    """
    count = len(tensors) - len(where)
    arrays = list(tensors[:count])
    for i, mask in zip(where, tensors[count:], strict=True):
        arrays[i] = masked(arrays[i], mask)
    return keras.tree.pack_sequence_as(structure, arrays)
