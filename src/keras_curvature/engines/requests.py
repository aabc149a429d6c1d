"""What is asked for by name: derivatives of the table, and partial ones by their inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_curvature.engines import quantities
from keras_curvature.engines.layout import Layout
from keras_curvature.engines.quantities import HIGHEST_ORDER, partial_name
from keras_curvature.typing import Input, Names

Asked = str | tuple[Input, ...]
"""A name of the table, or the inputs of a partial derivative."""


def requested(names: Names) -> dict[str, Asked]:
    """What is asked for by each name, checked as far as that goes without a model.

    Args:
        names: one or several names of the table; or a dict from names of the user's own to
            these or to tuples of inputs.

    Raises:
        ValueError: for an unknown name, nothing at all, or an order that there is none of.
        TypeError: for something else.
    """
    if isinstance(names, Mapping):
        found = {_own(name): _asked(name, what) for name, what in names.items()}
    else:
        wanted = [names] if isinstance(names, str) else list(names or ())
        found = {name: name for name in wanted}
    if not found or not (isinstance(names, Mapping) or set(found) <= set(quantities.NAMES)):
        raise ValueError(
            f"`names` must be one or some of {list(quantities.NAMES)}, or a dict from names of "
            f"your own to these and to tuples of inputs. Received: {names!r}."
        )
    return found


def _own(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"The keys of `names` must be strings, your own names. Received: {name!r}.")
    return name


def _asked(name: str, what: Any) -> Asked:
    if isinstance(what, str):
        if what not in quantities.NAMES:
            raise ValueError(
                f"`names[{name!r}]` must be one of {list(quantities.NAMES)} or a tuple of inputs, "
                f"such as `(0, 0)` or `('t',)`. Received: {what!r}."
            )
        return what
    if isinstance(what, int) and not isinstance(what, bool):
        raise TypeError(
            f"`names[{name!r}]` must be a tuple of inputs. Received: {what!r}. Write `({what},)`."
        )
    if not isinstance(what, Sequence):
        raise TypeError(
            f"`names[{name!r}]` must be the name of a derivative or a tuple of inputs. Received: "
            f"{what!r}."
        )
    inputs = tuple(map(_plain, what))
    for part in inputs:
        _require_input(name, part)
    if not 1 <= len(inputs) <= HIGHEST_ORDER:
        raise ValueError(
            f"`names[{name!r}]` must be a partial derivative of order 1 to {HIGHEST_ORDER}, by as "
            f"many inputs. Received: {what!r}, by {len(inputs)}."
            + (" The function itself is 'value'." if not inputs else "")
        )
    return inputs


def _plain(part: Any) -> Any:
    """An input without the types of NumPy and of what a file keeps."""
    if isinstance(part, (list, tuple)):
        return tuple(map(_plain, part))
    return int(part) if isinstance(part, np.integer) else part


def _require_input(name: str, part: Any) -> None:
    pair = isinstance(part, tuple) and len(part) == 2
    if pair:
        known = isinstance(part[0], str) and _is_index(part[1])
    else:
        known = isinstance(part, str) or _is_index(part)
    if not known:
        raise TypeError(
            f"`names[{name!r}]` must have an index, the name of an input of width 1, or a pair of "
            f"a name and an index for each input. Received: {part!r}."
        )


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def resolved(
    asked: Mapping[str, Asked],
    inputs: Layout,
    outputs: Layout | None = None,
    columns: Sequence[Any] | None = None,
) -> dict[str, str]:
    """The quantity of the engines that each name stands for.

    Args:
        asked: as `requested` gives it.
        inputs: what is differentiated by.
        outputs: what is differentiated; `None` where that is not known yet.
        columns: the names of the columns of the only input, where they have any.

    Raises:
        ValueError: for an input that there is not, and for the divergence of as many outputs as
            inputs do not match.
    """
    if outputs is not None and outputs.width != inputs.width:
        for name, what in asked.items():
            if what == quantities.DIVERGENCE:
                raise ValueError(
                    f"{name!r}: the divergence takes as many outputs as inputs. Received: "
                    f"{outputs.width} outputs of {inputs.width} inputs."
                )
    return {
        name: what
        if isinstance(what, str)
        else partial_name([_index(name, part, inputs, columns) for part in what])
        for name, what in asked.items()
    }


def _index(name: str, part: Input, inputs: Layout, columns: Sequence[Any] | None) -> int:
    """Where an input lies among all."""
    if isinstance(part, int):
        if len(inputs.shapes) > 1:
            raise ValueError(
                f"{name!r}: an index must say of which input it is, of {list(inputs.names)}. "
                f"Received: {part}. Write `({inputs.names[0]!r}, {part})`, or a name alone where "
                "an input is one number."
            )
        return _within(name, part, inputs.shapes[0], "the input")
    given, index = (part, None) if isinstance(part, str) else part
    if columns is not None and index is None and given in columns:
        return list(columns).index(given)
    if given not in inputs.names:
        known = list(inputs.names if columns is None else columns)
        if columns is None and len(known) == 1:
            whole = ", ".join(["batch", *map(str, inputs.shapes[0])])
            raise ValueError(
                f"{name!r}: the model has one input, of shape ({whole}), and its columns have no "
                f"names. Received: {given!r}. Use an index, such as `(0,)` for the first column."
            )
        raise ValueError(f"{name!r}: inputs must be of {known}. Received: {given!r}.")
    place = inputs.names.index(given)
    shape, before = inputs.shapes[place], sum(inputs.sizes[:place])
    if index is None and math.prod(shape) != 1:
        raise ValueError(
            f"{name!r}: the input {given!r} has {math.prod(shape)} numbers. Received: no index. "
            f"Write `({given!r}, 0)` for the first of them."
        )
    return before + _within(name, index or 0, shape, f"the input {given!r}")


def _within(name: str, index: int, shape: tuple[int, ...], which: str) -> int:
    if len(shape) > 1:
        raise ValueError(
            f"{name!r}: {which} must have one axis besides the batch's for an index. Received: "
            f"shape (batch, {', '.join(map(str, shape))})."
        )
    width = math.prod(shape)
    if not -width <= index < width:
        raise ValueError(
            f"{name!r}: {which} has {width} columns, of 0 to {width - 1}. Received: index {index}."
        )
    return index % width
