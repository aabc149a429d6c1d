"""A data frame, of pandas or like it: its columns, and the array that their numbers make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_curvature.typing import Array

NUMBERS = "fiub"
"""Kinds of dtype, as NumPy has them, that count as real numbers."""


def names_of_columns(value: Any) -> tuple[str, ...] | None:
    """Those of a data frame."""
    columns = getattr(value, "columns", None)
    return None if columns is None else tuple(str(column) for column in columns)


def columns_of(table: Any) -> dict[str, Array]:
    """Those of a data frame by their names."""
    return {str(name): as_array(table[name]) for name in table.columns}


def as_array(value: Any) -> Array:
    """An array, a column or a data frame as NumPy has it; what is missing in a column is NaN.

    NumPy has a data frame whose columns are of several dtypes as objects. Here they are put
    together in the dtype that holds them all.

    Raises:
        TypeError: for a data frame of which a column is no numbers.
    """
    if names_of_columns(value) is None:
        array = np.asarray(value)
        nullable = array.dtype.kind == "O" and _kind(value) in NUMBERS
        return np.asarray(value.astype("float64")) if nullable else array
    columns = list(_columns(value))
    if any(_kind(column) not in NUMBERS for column in columns):
        raise TypeError
    return np.stack([as_array(column) for column in columns], axis=1)


def what_to_do(table: Any) -> str:
    """What is wrong with the columns of a data frame that hold no numbers, `""` if all do."""
    names = names_of_columns(table) or ()
    others = {
        name: column
        for name, column in zip(names, _columns(table), strict=True)
        if _kind(column) not in NUMBERS
    }
    if not others:
        return ""
    dtypes = {name: str(getattr(column, "dtype", "unknown")) for name, column in others.items()}
    hidden = [name for name, column in others.items() if only_numbers(column)]
    text = [name for name in others if name not in hidden]
    advice = []
    if hidden:
        cast = dict.fromkeys(hidden, "float32")
        advice.append(f"{hidden} would be numbers by `frame.astype({cast})`")
    if text:
        advice.append(
            f"Encode {text} as for the model's training (`pd.get_dummies`), or leave out what it "
            f"does not take, `frame.drop(columns={text})`; text that it takes goes in a dict by "
            "the inputs' names"
        )
    return f"a data frame with columns that are no numbers: {dtypes}. {'. '.join(advice)}"


def only_numbers(value: Any) -> bool:
    """Whether an array of objects holds nothing but real numbers."""
    if str(getattr(value, "dtype", "")) != "object":
        return False
    entries = np.asarray(value).ravel()
    kinds = (bool, int, float, np.integer, np.floating)
    return bool(len(entries)) and all(isinstance(entry, kinds) for entry in entries)


def _columns(table: Any) -> Iterable[Any]:
    """Those of a data frame in order; of several under one name each."""
    if hasattr(table, "iloc"):
        return [table.iloc[:, i] for i in range(len(table.columns))]
    if hasattr(table, "__getitem__"):
        return [table[name] for name in table.columns]
    return list(np.asarray(table).T)


def _kind(column: Any) -> str:
    """What a column's dtype counts as; a category is none of numbers, whatever it holds."""
    kind = getattr(getattr(column, "dtype", None), "kind", None)  # which those of polars lack
    return str(np.asarray(column).dtype.kind if kind is None else kind)
