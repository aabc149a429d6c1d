"""The directions that a user gives: one for each example or for all, or several at once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.bound_model import BoundModel
from keras_curvature.engines.inputs import numbers_in
from keras_curvature.engines.layout import fits
from keras_curvature.typing import Structure, Tensor


def as_direction(bound: BoundModel, v: Structure | None) -> Tensor:
    """The direction as `(n, d)`: one per example, or one for all of them."""
    layout = bound.f.inputs
    leaves, shapes = _leaves(bound, v)
    if shapes == list(layout.shapes):
        return xp.repeat(layout.join(leaves), xp.lengths(bound.inputs.leaves[0])[0], axis=0)
    wanted = _in_front(bound.inputs.leaves[0].shape[0], layout.shapes)
    if not _compatible(wanted, shapes):
        raise ValueError(
            f"`v` must have the shape of what is differentiated by, {wanted}, or of one "
            f"example of it. Received: {shapes}. Several directions at once have the shape "
            "(k, ...) with `directions=True`, or (batch, k, ...)."
        )
    return layout.join(leaves)


def as_directions(bound: BoundModel, v: Structure | None, asked: bool) -> Tensor | None:
    """Several directions as `(k, d)` for all examples or `(n, k, d)`; `None` for a single one.

    Args:
        bound: the model.
        v: of shape `(k, *input_shape)` or `(batch, k, *input_shape)`.
        asked: whether several are asked for. Else those of the first shape are one per example.
    """
    layout, batch = bound.f.inputs, bound.inputs.leaves[0].shape[0]
    leaves, shapes = _leaves(bound, v)
    more = {len(a) - len(b) for a, b in zip(shapes, layout.shapes, strict=False)}
    if not asked and more != {2}:
        return None
    before = shapes[0][: more.pop()] if more in ({1}, {2}) else (0,)
    count, shared = before[-1], len(before) == 1
    wanted = [((count,) if shared else (batch, count)) + shape for shape in layout.shapes]
    if count == 0 or not _compatible(wanted, shapes):
        each = _in_front("k", layout.shapes)
        raise ValueError(
            f"`v` must hold k directions for all examples, in the shape {each}, or k for each of "
            f"them, {_in_front(batch, each)}. Received: {shapes}."
            + (" One direction alone goes without `directions=True`." if asked else "")
        )
    if count is None:
        raise ValueError(
            "`v` must have a number of directions that is known while a graph is traced. Received: "
            f"{shapes}. Set it with `tf.ensure_shape`."
        )
    if shared:
        return layout.join(leaves)
    pairs = zip(leaves, layout.shapes, strict=True)
    rows = layout.join([xp.reshape(leaf, [-1, *shape]) for leaf, shape in pairs])
    return xp.reshape(rows, [-1, int(count), layout.width])


def as_rows(directions: Tensor) -> Tensor:
    """As the engines take them: `(k, 1, d)` of `(k, d)`, and `(k, n, d)` of `(n, k, d)`."""
    return directions[:, None] if directions.ndim == 2 else xp.transpose(directions, [1, 0, 2])


def _leaves(bound: BoundModel, v: Structure | None) -> tuple[list[Tensor], list[tuple[Any, ...]]]:
    layout = bound.f.inputs
    if v is None:
        raise ValueError(
            "A direction `v` is needed: an array in the shape of `x`, or of one example."
        )
    alone = len(layout.shapes) == 1 and not isinstance(v, Mapping)
    parts = [_only(v)] if alone else layout.in_order(v, "`v`")
    leaves = [xp.cast(xp.array(numbers_in(leaf, "v")), bound.f.dtype) for leaf in parts]
    return leaves, [tuple(leaf.shape) for leaf in leaves]


def _in_front(size: Any, shapes: Sequence[tuple[int, ...]]) -> list[tuple[Any, ...]]:
    return [(size, *shape) for shape in shapes]


def _only(v: Structure) -> Any:
    """What a structure of one array holds: `v` may come in the structure of `x`."""
    leaves = keras.tree.flatten(v) if isinstance(v, (list, tuple)) else []
    return leaves[0] if len(leaves) == 1 and np.ndim(leaves[0]) else v


def _compatible(wanted: Sequence[Any], shapes: Sequence[Any]) -> bool:
    return len(wanted) == len(shapes) and all(
        fits(a, b) for a, b in zip(wanted, shapes, strict=True)
    )


def warn_of_more_than_exact(directions: int, exact: int) -> None:
    """Says that exact derivatives take fewer directions than the random ones asked for."""
    if directions > exact:
        warnings.warn(
            f"`directions={directions}` are more than the {exact} that exact derivatives of this "
            f"function take, and what they estimate has chance in it all the same. Leave "
            "`directions` out, or take fewer.",
            stacklevel=4,
        )
