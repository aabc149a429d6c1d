"""Some columns of an array, by which is differentiated while the others are held."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Subset:
    """Some of the columns of an array `(batch, count)`.

    Attributes:
        indexes: which, in the order that was asked for.
        count: how many the array has.
    """

    indexes: tuple[int, ...]
    count: int


def checked_columns(columns: Any) -> tuple[int | str, ...] | None:
    """What `columns=` may be; one alone as a tuple of one.

    Raises:
        TypeError: if it is none of these.
        ValueError: for an empty list.
    """
    if columns is None:
        return None
    several = isinstance(columns, Iterable) and not isinstance(columns, str)
    parts = tuple(_checked(part, columns) for part in (columns if several else [columns]))
    if not parts:
        raise ValueError(
            f"`columns` must hold at least one index or name. Received: {columns!r}. Leave it out "
            "to differentiate by all columns."
        )
    return parts


def _checked(part: Any, columns: Any) -> int | str:
    if isinstance(part, str):
        return part
    try:
        if type(part).__name__ not in ("bool", "bool_"):
            return operator.index(part)
    except TypeError:
        pass
    raise TypeError(
        "`columns` must be None, the index or name of a column, or a list of these (indexes, and "
        f"no mask). Received: {columns!r}."
    )


def by_index(
    columns: Sequence[int | str], names: Sequence[str] | None, inputs: Collection[str] = ()
) -> tuple[int, ...]:
    """Columns by their indexes.

    Args:
        columns: indexes or names.
        names: of all columns of the array, in their order; `None` where nothing tells them.
        inputs: the names of the model's inputs, which may have been meant.

    Raises:
        ValueError: for a name that none of the columns has.
    """
    return tuple(part if isinstance(part, int) else _index(part, names, inputs) for part in columns)


def _index(name: str, names: Sequence[str] | None, inputs: Collection[str]) -> int:
    if names is not None and name in names:
        return list(names).index(name)
    if names is not None:
        close = difflib.get_close_matches(name, names, 1, 0.8)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"`columns` must be among {list(names)}. Received: {name!r}.{meant}")
    if name in inputs:
        raise ValueError(
            f"`columns` are of one array. Received: {name!r}, which is an input of the model by "
            f"itself: `wrt={name!r}`."
        )
    raise ValueError(
        f"`columns` by name must be those of a data frame, or of `feature_names` in a monitor. "
        f"Received: {name!r}, where nothing tells the names. Give the index of the column."
    )


def subset_of(columns: Sequence[int], shape: Sequence[int | None], what: str) -> Subset:
    """The columns of an array.

    Args:
        columns: indexes, from the end where they are negative.
        shape: of the array, the batch in front.
        what: it is called in messages.

    Raises:
        ValueError: for an array of another rank than 2, an index that it has not, and one that
            is there twice.
    """
    count = shape[1] if len(shape) == 2 else None
    if count is None:
        raise ValueError(
            f"`columns` are those of an array of shape (batch, columns). Received: {what} of shape "
            f"{tuple(shape)}."
        )
    beyond = [i for i in columns if not -count <= i < count]
    if beyond:
        raise ValueError(
            f"`columns` must be indexes into the {count} columns of {what}, from {-count} to "
            f"{count - 1}. Received: {beyond[0]}."
        )
    indexes = tuple(i % count for i in columns)
    twice = [i for i in indexes if indexes.count(i) > 1]
    if twice:
        raise ValueError(
            f"`columns` must hold each column once. Received: {list(columns)}, where column "
            f"{twice[0]} is there more than once."
        )
    return Subset(indexes, count)
