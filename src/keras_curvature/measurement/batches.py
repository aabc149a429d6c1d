"""Batches as Keras takes them, read once and joined: a dataset, `PyDataset` or `DataLoader`."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.api import numbers_in, xp
from keras_curvature.engines.backend import tensorflow_datasets

LARGEST = 2**30
"""Bytes beyond which batches are taken to have no end."""

LOADERS = {
    "torch.utils.data": ("DataLoader",),
    "grain": ("DataLoader", "MapDataset", "IterDataset"),
}
"""What else Keras reads, by the package and the name of its class, as Keras does."""

DATASET = {"tensorflow": ("DatasetV2",)}
"""TensorFlow's, which Keras reads on every backend."""

NO_ARRAYS = {"tensorflow": ("RaggedTensor", "SparseTensor")}
"""What such a dataset may hold that is no array."""

ENDLESS = "`probe` is {what} without end. Give one that ends, for example {example}."


def in_batches(given: Any) -> bool:
    """Whether Keras would read batches from this."""
    known = (keras.utils.PyDataset, Iterator)
    return isinstance(given, known) or _is_a(given, DATASET) or _is_loader(given)


def joined(given: Any) -> Any:
    """All batches, joined along their first axis: `x`, or a tuple as Keras takes it.

    Nothing that trains on the same data notices: a dataset that shuffles has its next order still
    before it, and so have the random numbers of Python and NumPy.

    Raises:
        ValueError: for what is empty, has no end, or gives single examples.
    """
    with _undisturbed():
        batches = _read(_source(given))
    if not batches:
        raise ValueError("`probe` is an empty dataset. It must hold at least one batch.")
    try:
        return keras.tree.map_structure(_concatenated, *batches)
    except ValueError as error:
        raise ValueError(
            "`probe` is a dataset whose elements cannot be joined along their first axis: all must "
            f"have the same structure and the same shape behind that axis. {error}"
        ) from error


def _is_loader(given: Any) -> bool:
    """Whether this is a loader of PyTorch or Grain, which Keras knows by these names too."""
    return _is_a(given, LOADERS)


def _is_a(given: Any, kinds: Mapping[str, Sequence[str]]) -> bool:
    """Whether this is of one of the kinds, each by its package and name: none has to be there."""
    return any(
        kind.__module__.startswith(package) and kind.__name__ in names
        for kind in type(given).__mro__
        for package, names in kinds.items()
    )


def _source(given: Any) -> Iterable[Any]:
    if _is_a(given, DATASET):
        datasets = tensorflow_datasets()
        if datasets.is_endless(given):
            raise ValueError(ENDLESS.format(what="a dataset", example="`dataset.take(1)`"))
        return _complete(datasets.unread(given), datasets.ERRORS)
    if isinstance(given, keras.utils.PyDataset):
        count = given.num_batches
        if count is None:
            raise ValueError(ENDLESS.format(what="a PyDataset", example="its first batch"))
        return (_parts(given[i]) for i in range(count))
    if isinstance(given, Iterator):
        raise TypeError(
            "`probe` must not be a generator or an iterator: reading it would use up what it is "
            "to give to others, and it may have no end. Give the batches that you want to look "
            f"at, for example `next(generator)`, `(x, y)`. Received: {type(given).__name__}."
        )
    return map(_parts, given)


def _parts(batch: Any) -> Any:
    """A list of a `PyDataset` or a loader is `(x, y)`, as a tuple is."""
    return tuple(batch) if isinstance(batch, list) else batch


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Leaves the global random numbers of Python and NumPy, which a user's code may draw, alone."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def _read(source: Iterable[Any]) -> list[Any]:
    batches: list[Any] = []
    size = 0
    for batch in source:
        arrays = keras.tree.map_structure(_array, batch)
        size += sum(leaf.nbytes for leaf in _examples_in_front(keras.tree.flatten(arrays)))
        batches.append(arrays)
        if size > LARGEST:
            raise ValueError(
                f"`probe` is a dataset of more than {LARGEST >> 20} MiB, or has no end. A probe is "
                "held in memory and looked at each time: give a part of it, for example "
                "`dataset.take(10)`."
            )
    return batches


def _complete(dataset: Iterable[Any], errors: type[Exception]) -> Iterator[Any]:
    """All batches of a dataset.

    Raises:
        ValueError: where it fails on the way.
    """
    count = 0
    try:
        for batch in dataset:
            yield batch
            count += 1
    except errors as error:
        raise ValueError(
            f"`probe` is a dataset that failed after {count} batches. A probe is read once, before "
            f"training, and must be complete. TensorFlow says: {getattr(error, 'message', error)}"
        ) from error


def _array(leaf: Any) -> Any:
    if leaf is None:
        return None
    if _is_a(leaf, NO_ARRAYS):
        return numbers_in(leaf, "probe")  # which says what is wrong with it
    return xp.to_numpy(leaf)


def _examples_in_front(leaves: Sequence[Any]) -> list[Any]:
    """The arrays of a batch, if there is one."""
    arrays = [leaf for leaf in leaves if leaf is not None]
    counts = {leaf.shape[:1] for leaf in arrays}
    if len(counts) != 1 or () in counts:
        raise ValueError(
            "`probe` as a dataset must give batches, with the same number of examples along the "
            f"first axis of all arrays. Received: an element of shapes "
            f"{[leaf.shape for leaf in arrays]}. Batch it first: `dataset.batch(n)`."
        )
    return arrays


def _concatenated(*parts: Any) -> Any:
    return None if parts[0] is None else np.concatenate(parts)
