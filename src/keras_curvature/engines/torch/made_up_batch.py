"""Looking at a model while PyTorch or Keras traces, where a batch has no numbers yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_curvature.engines.torch import arrays
from keras_curvature.engines.torch.compilation import REFUSALS, is_eager, outside
from keras_curvature.engines.torch.random_directions import normal
from keras_curvature.typing import Tensor


def seen_by(
    look: Callable[[Any, Sequence[Tensor]], bool], f: Any, leaves: Sequence[Tensor], most: int
) -> bool:
    """What `look` says of a model and a batch of made-up numbers.

    Args:
        look: at the model and up to `most` examples.
        f: the model, a `FlatFunction`.
        leaves: the batch, of which only shapes are known.
        most: how many examples are made up.

    Returns:
        `False` where the model itself has no numbers either, or does not take these.
    """
    if any(arrays.is_symbol(size) for leaf in leaves for size in leaf.shape[1:]):
        return False
    with outside():
        if not is_eager((f.weights(), f.constants)):
            return False
        made_up = [_made_up(leaf, most) for leaf in leaves]
        if f.batch is not None:
            made_up[-1] = arrays.arange(made_up[0].shape[0]) % f.batch
        try:
            return look(f, made_up)
        except REFUSALS:  # numbers that the model does not take
            return False


def _made_up(leaf: Tensor, most: int) -> Tensor:
    count = leaf.shape[0]
    shape = [most if arrays.is_symbol(count) else min(count, most), *leaf.shape[1:]]
    if not leaf.dtype.is_floating_point:
        return arrays.zeros(shape, leaf.dtype)  # a token that every embedding has
    return normal(shape, 0, leaf.dtype)
