"""The box that a claim is about: its corners, and what its inputs are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import BoundModel, Options, bind, matched, numbers_in, xp
from keras_curvature.measurement.probe import Names, feature_names
from keras_curvature.report.text import plain
from keras_curvature.typing import Array, Model, Structure

BETWEEN = "A box is what lies between two points, `low` and `high`, each as the model takes one."


@dataclass(frozen=True)
class Box:
    """A box of inputs.

    Attributes:
        bound: the model, traced.
        low: its lower corner, flat, `(d,)`.
        high: its upper corner.
        names: of the input numbers.
    """

    bound: BoundModel
    low: Array
    high: Array
    names: tuple[str, ...]

    def structured(self, points: Array) -> Structure:
        """Flat points `(n, d)` as the model takes them."""
        inputs = self.bound.f.inputs
        starts = np.cumsum(inputs.sizes)[:-1]
        leaves = np.split(points, starts, axis=1)
        shapes = inputs.shapes
        return inputs.pack(
            [leaf.reshape(-1, *shape) for leaf, shape in zip(leaves, shapes, strict=True)]
        )


def box_of(model: Model, low: Any, high: Any, options: Options, called: Names | None = None) -> Box:
    """A box between two points.

    Args:
        model: the model.
        low: the lower corner: an array of the input's shape, a number for all of it, a dict by the
            names of its entries or a row of a data frame, which has names; of several inputs a dict
            or a list of these, or a number for all.
        high: the upper corner.
        options: the caller's.
        called: `feature_names`.

    Raises:
        ValueError: for corners that are not finite, not in order or the same, or do not fit.
        TypeError: for what is no number, and for a model of integers.
    """
    corners = {"low": low, "high": high}
    if declared := getattr(model, "inputs", None):
        corners = {what: _by_label(given) for what, given in corners.items()}
        if called is None and len(declared) == 1 and corners["low"] is not low:
            called = list(corners["low"])
    ends = {what: _as_taken(model, given, what, called) for what, given in corners.items()}
    require_real(model)
    bound = bind(model, keras.tree.map_structure(lambda leaf: leaf[None], ends["low"]), options)
    names = feature_names(called, None, bound.f.inputs)
    flat = {}
    for what, end in ends.items():
        leaves = [leaf.ravel() for leaf in keras.tree.flatten(end)]
        flat[what] = np.concatenate(leaves)
        if flat[what].shape != (len(names),):
            raise ValueError(
                f"`{what}` must hold {len(names)} numbers, one for each input. {BETWEEN} Received: "
                f"{flat[what].size}."
            )
    _require_in_order(flat["low"], flat["high"], names)
    return Box(bound, flat["low"], flat["high"], names)


def _by_label(given: Any) -> Any:
    """A row of a data frame, such as `frame.min()`, by the names of its columns."""
    labels = list(given.index) if hasattr(given, "index") and hasattr(given, "to_dict") else []
    return given.to_dict() if labels and all(isinstance(at, str) for at in labels) else given


def _as_taken(model: Model, given: Any, what: str, called: Names | None) -> Any:
    """A corner in the model's structure, of arrays without a batch."""
    declared = list(getattr(model, "inputs", None) or [])
    if isinstance(given, Mapping) and len(declared) == 1 and list(given) != [declared[0].name]:
        given = _by_entry(given, what, declared[0].shape[1:], called)
    if len(declared) < 2 and not isinstance(given, Mapping):
        return _shaped(_numbers(given, what), what, declared[0].shape[1:] if declared else None)
    given = _of_several(model, given, what, declared)
    several = given.items() if isinstance(given, Mapping) else enumerate(given)
    arrays = {key: _numbers(part, what) for key, part in several}
    taken, declared = matched(model, arrays if isinstance(given, Mapping) else [*arrays.values()])
    leaves = keras.tree.flatten(taken)
    if declared and len(leaves) != len(declared):
        names = [tensor.name for tensor in declared]
        raise ValueError(
            f"`{what}` must have an entry for each of the inputs {names}. Received: {len(leaves)}."
        )
    shapes = [tensor.shape[1:] for tensor in declared] or [None] * len(leaves)
    shaped = [_shaped(leaf, what, shape) for leaf, shape in zip(leaves, shapes, strict=True)]
    return keras.tree.pack_sequence_as(taken, shaped)


def _of_several(model: Model, given: Any, what: str, declared: Sequence[Any]) -> Any:
    """A corner of several inputs, a dict or a list that has an entry for each of them."""
    if not declared:
        return given
    made_of = getattr(model, "input", None)
    by_name = isinstance(made_of, Mapping)
    names = list(made_of) if isinstance(made_of, Mapping) else [one.name for one in declared]
    example = ", ".join(f"{name!r}: {0.5 * i}" for i, name in enumerate(names))
    wanted = (
        f"`{what}` must be a dict{'' if by_name else ' or a list'} with an entry for each of the "
        f"model's inputs, such as {{{example}}}, or one number for all of them."
    )
    if isinstance(given, Mapping):
        missing = [name for name in names if name not in given]
        if missing:
            raise ValueError(f"{wanted} Missing: {missing}. Received: {list(given)}.")
        return given
    if isinstance(given, (list, tuple)) and not by_name:
        return given
    if isinstance(given, (list, tuple)):
        raise ValueError(f"{wanted} Received: a {type(given).__name__} of {len(given)}.")
    shape = np.shape(xp.to_numpy(numbers_in(given, what)))
    if shape:
        raise ValueError(f"{wanted} Received: an array of shape {shape}.")
    return dict.fromkeys(names, given) if by_name else [given] * len(names)


def _by_entry(
    given: Mapping[Any, Any], what: str, shape: tuple[int | None, ...], called: Names | None
) -> list[Any]:
    """The entries of one array in the order of their names."""
    if isinstance(called, Mapping):
        called = next(iter(called.values()), None)
    default = ["x"] if shape in ((), (1,)) else [f"x{i}" for i in range(shape[0] or 0)]
    names = [called] if isinstance(called, str) else list(called or default)
    if set(given) != set(names):
        raise ValueError(
            f"`{what}` as a dict must have an entry for each of {names}"
            f"{'' if called else ' (`feature_names` gives other names)'}. Received: {list(given)}."
        )
    return [given[name] for name in names]


def _numbers(given: Any, what: str) -> Array:
    """One array of a corner, in float64."""
    array = np.array(xp.to_numpy(numbers_in(given, what)), dtype=np.float64)
    if not array.size:
        raise ValueError(f"`{what}` is empty. {BETWEEN} Received: shape {array.shape}.")
    return array


def _shaped(array: Array, what: str, shape: Sequence[int | None] | None) -> Array:
    """An array in the shape of an example; a single number stands for all of its entries."""
    wanted = None if shape is None or None in shape else tuple(int(size or 0) for size in shape)
    if wanted is None:
        if not array.ndim:
            raise ValueError(
                f"`{what}` must be an array of the shape of one example: how many numbers `model` "
                f"takes it does not say. Received: {array:.6g}."
            )
        return array
    if array.ndim and array.shape != wanted:
        raise ValueError(
            f"`{what}` must have the shape {wanted} of one example, without a batch, or be one "
            f"number for all of it. {BETWEEN} Received: shape {array.shape}."
        )
    return np.broadcast_to(array, wanted).copy()


def require_real(model: Model) -> None:
    """Refuses a model of integers before anything is computed."""
    for tensor in getattr(model, "inputs", None) or []:
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if "float" not in dtype:
            raise TypeError(
                f"`model` must take real numbers: between integers, such as the ids of tokens, "
                f"nothing lies that a proof could be about. Received: the input {tensor.name!r} of "
                f"{dtype}. Prove it of the layers behind the embedding, as a model of their own."
            )


def _require_in_order(low: Array, high: Array, names: tuple[str, ...]) -> None:
    for what, end in (("low", low), ("high", high)):
        if not np.isfinite(end).all():
            i = int(np.flatnonzero(~np.isfinite(end))[0])
            raise ValueError(
                f"`{what}` must be finite: a proof goes over a bounded box. Received: {end[i]} for "
                f"{plain(names[i], 40)!r}. Give the least and the largest value that can occur."
            )
    swapped = np.flatnonzero(low > high)
    if len(swapped):
        i = int(swapped[0])
        raise ValueError(
            f"`low` must not be above `high`. Received: {float(low[i])} and {float(high[i])} for "
            f"{plain(names[i], 40)!r}{f' and {len(swapped) - 1} more' if len(swapped) > 1 else ''}."
            " Did you mean them the other way round?"
        )
    if not (low < high).any():
        raise ValueError(
            "`low` and `high` are the same point: the box is empty. At a single point use "
            "`keras_curvature.derivatives`. Inputs may be held, but not all of them. Received: "
            f"{low.tolist()[:8]}."
        )
