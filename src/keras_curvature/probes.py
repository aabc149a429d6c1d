"""What a probe may be: the points at which a model is watched while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_curvature.engines.inputs import is_text, numbers_in
from keras_curvature.typing import Structure

LARGEST_PROBE = 2**30
"""Bytes of a dataset beyond which it is taken to have no end."""


@dataclass(frozen=True)
class Probe:
    """Points at which to measure, and what is known there.

    Attributes:
        x: the points, in the structure that the model takes.
        y: known values of the function there, or `None`.
        columns: names of the inputs where `x` brought some (a data frame), or `None`.
    """

    x: Structure
    y: Any
    columns: tuple[str, ...] | None

    @property
    def size(self) -> int:
        """How many points there are."""
        return len(keras.tree.flatten(self.x)[0])


def make_probe(given: Any) -> Probe:
    """Checks a probe and copies it, so that it stays what it was at the start.

    Args:
        given: an array or the model's structure of arrays; a tuple `(x, y)` of points and
            known values; or a batched `tf.data.Dataset` of either, which has to end.

    Raises:
        ValueError: for an empty probe, NaN or infinity in it, or `y` of another length.
        TypeError: for something that is not numbers.
    """
    if isinstance(given, tf.data.Dataset):
        given = _read(given)
    x, y = _parted(given)
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
    if y is not None:
        y = keras.tree.map_structure(lambda leaf: _numbers(leaf, "probe's y"), _as_array(y))
        for leaf in keras.tree.flatten(y):
            if leaf.ndim == 0 or leaf.shape[0] not in sizes:
                raise ValueError(
                    f"`probe` has {sizes.pop()} points x, but y of shape {leaf.shape}. "
                    "Give one y per point. Several inputs go in a list, not in a tuple."
                )
    return Probe(x, y, columns)


def _parted(given: Any) -> tuple[Any, Any]:
    """A tuple is `(x, y)`, as everywhere in Keras; several inputs come in a list or dict."""
    if not isinstance(given, tuple):
        return given, None
    if len(given) == 1:
        return given[0], None
    if len(given) == 2:
        return given
    raise ValueError(
        "`probe` as a tuple must be (x, y). Several inputs go in a list or a dict. "
        f"Received: a tuple of {len(given)}."
    )


def _read(dataset: tf.data.Dataset) -> Any:
    """All batches of a dataset, joined."""
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "`probe` is a dataset without end (it repeats). Give one that ends, for example "
            "`dataset.take(1)`."
        )
    batches = _batches(dataset)
    if not batches:
        raise ValueError("`probe` is an empty dataset. It must hold at least one batch.")
    try:
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0).numpy(), *batches)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            "`probe` is a dataset whose elements cannot be joined along their first axis. "
            f"Batch it first: `dataset.batch(n)`. TensorFlow says: {error.message}"
        ) from error


def _batches(dataset: tf.data.Dataset) -> list[Any]:
    batches, size = [], 0
    try:
        for batch in dataset:
            batches.append(batch)
            size += sum(tf.size(leaf).numpy() * leaf.dtype.size for leaf in tf.nest.flatten(batch))
            if size > LARGEST_PROBE:
                raise ValueError(
                    f"`probe` is a dataset of more than {LARGEST_PROBE >> 20} MiB, or has no end. "
                    "A probe is held in memory and looked at each time: give a part of it, for "
                    "example `dataset.take(10)`."
                )
    except tf.errors.OpError as error:
        raise ValueError(
            f"`probe` is a dataset that failed after {len(batches)} batches. A probe is read once, "
            f"before training, and must be complete. TensorFlow says: {error.message}"
        ) from error
    return batches


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
