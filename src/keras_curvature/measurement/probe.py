"""What a probe may be: the points at which a model is watched while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.interface import is_text, matched, numbers_in
from keras_curvature.measurement import batches
from keras_curvature.typing import Model, Structure


@dataclass(frozen=True)
class Probe:
    """Points at which to measure, and what is known there.

    Attributes:
        x: the points, in the structure that the model takes.
        y: known values of the function there, or `None`.
        columns: names of the inputs where `x` brought some (a data frame), or `None`.
        from_batches: whether it was read in batches.
    """

    x: Structure
    y: Any
    columns: tuple[str, ...] | None
    from_batches: bool = False

    @property
    def size(self) -> int:
        """How many points there are."""
        return len(keras.tree.flatten(self.x)[0])


def make_probe(given: Any) -> Probe:
    """Checks a probe and copies it, so that it stays what it was at the start.

    Args:
        given: an array or the model's structure of arrays; a tuple `(x, y)` of points and
            known values, or `(x, y, weights)`; or batches of either as Keras reads them, which
            have to end.

    Raises:
        ValueError: for an empty probe, NaN or infinity in it, or `y` of another length.
        TypeError: for something that is not numbers, and for a generator.
    """
    from_batches = batches.in_batches(given)
    x, y, weights = _parted(batches.joined(given) if from_batches else given)
    columns = tuple(str(c) for c in x.columns) if hasattr(x, "columns") else None
    x = _as_array(x)
    beside = len(keras.tree.flatten(x)) > 1  # there are numbers to differentiate by, beside text
    x = keras.tree.map_structure(
        lambda leaf: np.array(leaf) if beside and is_text(leaf) else _numbers(leaf, "probe"), x
    )
    leaves = keras.tree.flatten(x)
    sizes = {leaf.shape[0] if leaf.ndim else 0 for leaf in leaves}
    if not leaves or 0 in sizes:
        raise ValueError(
            "`probe` must hold at least one example, with the batch as the first axis. "
            f"Received: shapes {[leaf.shape for leaf in leaves]}."
        )
    if len(sizes) > 1:
        raise ValueError(
            "All arrays of `probe` must hold the same number of examples. "
            f"Received: shapes {[leaf.shape for leaf in leaves]}."
        )
    (size,) = sizes
    y, _ = (
        None if part is None else _per_point(_as_array(part), what, size)
        for part, what in ((y, "y"), (weights, "weights"))
    )
    return Probe(x, y, columns, from_batches)


def require_batches(probe: Probe, model: Model) -> None:
    """Raises ValueError for a dataset of single examples, which only the model can tell."""
    if not probe.from_batches:
        return
    x, declared = matched(model, probe.x)
    for leaf, tensor in zip(keras.tree.flatten(x), declared, strict=False):
        if leaf.ndim == len(tensor.shape) - 1:
            raise ValueError(
                f"`probe` must give batches of shape {('n', *tensor.shape[1:])}, as the model's "
                f"input {tensor.name!r} takes. Received: elements of {leaf.ndim} axes, as of a "
                "dataset of single examples. Batch it first: `dataset.batch(n)`."
            )


def _parted(given: Any) -> tuple[Any, Any, Any]:
    """A tuple is `(x, y, weights)`, as everywhere in Keras; several inputs come in a list or dict.

    The weights weigh nothing here, as in Keras's own `metrics`.
    """
    if not isinstance(given, tuple):
        return given, None, None
    if not 1 <= len(given) <= 3:
        raise ValueError(
            "`probe` as a tuple must be (x,), (x, y) or (x, y, weights). Several inputs go in a "
            f"list or a dict. Received: a tuple of {len(given)}."
        )
    x, y, weights = (*given, None, None)[:3]
    return x, y, weights


def _per_point(given: Any, what: str, size: int) -> Any:
    """Arrays with something for each point."""
    arrays = keras.tree.map_structure(lambda leaf: _numbers(leaf, f"probe's {what}"), given)
    for leaf in keras.tree.flatten(arrays):
        if leaf.ndim == 0 or leaf.shape[0] != size:
            raise ValueError(
                f"`probe` has {size} points x, but {what} of shape {leaf.shape}. "
                f"Give one {what} per point. Several inputs go in a list, not in a tuple."
            )
    return arrays


def _as_array(value: Any) -> Any:
    """Nested lists of plain numbers are an array, not a structure of arrays."""
    leaves = keras.tree.flatten(value) if isinstance(value, (list, tuple)) else []
    plain = leaves and all(isinstance(leaf, (int, float)) for leaf in leaves)
    return np.asarray(value) if plain else value


def _numbers(leaf: Any, what: str) -> np.ndarray[Any, Any]:
    array = np.array(numbers_in(leaf, what))
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ValueError(
            f"`{what}` holds {len(bad)} value(s) that are NaN or infinite, the first at index "
            f"{tuple(int(i) for i in bad[0])}. Drop or fill them: no derivative means anything "
            "there."
        )
    array.flags.writeable = False  # TensorFlow may read from this very memory
    return array


def feature_names(
    given: Sequence[str] | None,
    columns: Sequence[str] | None,
    inputs: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
) -> tuple[str, ...]:
    """One name per input number.

    Args:
        given: the user's names, or `None`.
        columns: the probe's own names, or `None`.
        inputs: names of the arrays differentiated by.
        shapes: their shapes without the batch.

    Raises:
        ValueError: for names of a wrong number or not unique.
    """
    own = _own_names(inputs, shapes)
    names = given if given is not None else columns
    if names is None or (given is None and len(names) != len(own)):
        return own
    if isinstance(names, str) or len(names) != len(own) or len(set(names)) != len(names):
        raise ValueError(
            f"`feature_names` must be {len(own)} different names, one per input of the model. "
            f"Received: {names!r}."
        )
    return tuple(str(name) for name in names)


def _own_names(inputs: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    names = []
    for name, shape in zip(inputs, shapes, strict=True):
        base = name if len(inputs) > 1 else "x"
        if shape in ((), (1,)):
            names.append(base)
        elif len(shape) == 1 and len(inputs) == 1:
            names += [f"x{i}" for i in range(shape[0])]
        else:
            names += [f"{base}[{','.join(map(str, index))}]" for index in np.ndindex(*shape)]
    return tuple(names)
