"""A data frame's columns beside the names that the user gave to the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_curvature.engines.api import names_of_columns
from keras_curvature.measurement.closest_name import closest
from keras_curvature.typing import Array, Wrt


def order_of(columns: Sequence[str], names: Any, wrt: Wrt, inputs: Sequence[str]) -> list[int]:
    """Where in a data frame the columns of a model of one array are, which have these names.

    Args:
        columns: of the data frame.
        names: `feature_names`: of the model's columns in their order, or a dict of such by input;
            `None` if the order is the data frame's.
        wrt: what is differentiated by: the names may be those of a layer's outputs.
        inputs: the names of the model's inputs.

    Raises:
        ValueError: for names that are not those of the columns.
    """
    as_it_is = list(range(len(columns)))
    if isinstance(wrt, str) and wrt not in inputs:
        return as_it_is
    if isinstance(names, Mapping):
        names = next(iter(names.values()), None) if len(names) == 1 else None
        names = [names] if isinstance(names, str) else names
    if names is None or isinstance(names, str):
        return as_it_is
    wanted = [str(name) for name in names]
    if len(set(wanted)) < len(wanted):
        return as_it_is  # which is refused for what it is
    extra = [column for column in columns if column not in wanted]
    missing = [name for name in wanted if name not in columns]
    if extra or missing or len(columns) > len(wanted):
        raise ValueError(
            "`feature_names` and the columns of a data frame must be the same names, in any order. "
            f"Received: {_difference(extra, missing, columns)}. {_advice(extra, missing)}"
        )
    return [list(columns).index(name) for name in wanted]


def _difference(extra: Sequence[str], missing: Sequence[str], columns: Sequence[str]) -> str:
    parts = [f"{_counted(extra)} {_be(extra)} too many"] if extra else []
    parts += [f"{_counted(missing)} {_be(missing)} missing"] if missing else []
    if not parts:
        twice = [name for name in dict.fromkeys(columns) if list(columns).count(name) > 1]
        parts = [f"{_counted(twice)} {_be(twice)} there more than once"]
    meant = closest(missing[0], extra) if missing else None
    hint = "" if meant is None else f" (is {meant!r} meant for {missing[0]!r}?)"
    return f"a data frame in which {' and '.join(parts)}{hint}"


def _counted(names: Sequence[str]) -> str:
    shown = f"{list(names)}" if len(names) > 1 else repr(names[0])
    return f"the column{'s' * (len(names) > 1)} {shown}"


def _be(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _advice(extra: Sequence[str], missing: Sequence[str]) -> str:
    if extra and not missing:
        return f"Leave out what the model does not take: `frame.drop(columns={list(extra)})`."
    return (
        "Call both alike; if the columns are in the order of the model's, `frame.to_numpy()` has "
        "them without names."
    )


def turned(table: Any, columns: Sequence[str] | None, chosen: Any) -> Any:
    """What belongs to columns of the points, in their order where it is a data frame of such.

    Args:
        table: what was given, of any kind.
        columns: of the points, if these have names.
        chosen: indexes of those that are differentiated by; `None` for all.
    """
    named = names_of_columns(table)
    if named is None or columns is None:
        return table
    wanted = list(columns) if chosen is None else [columns[i] for i in chosen]
    if len(set(named)) < len(named) or set(named) != set(wanted):
        return table
    return np.asarray(table)[:, [named.index(name) for name in wanted]]


def columns_like(known: Any, columns: Mapping[str, Array]) -> list[str]:
    """Names of columns that hold known values, which were left among the points."""
    values = np.asarray(known) if isinstance(known, np.ndarray) else None
    if values is None or values.ndim > 2 or values.size == 0:
        return []
    several = values.reshape(len(values), -1).T
    return [
        name
        for name, column in columns.items()
        if any(np.array_equal(column.ravel(), one) for one in several)
    ]
