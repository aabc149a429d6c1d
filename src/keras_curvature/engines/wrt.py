"""Which inputs of a model to differentiate by: what `wrt=` may be, and what it means."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from keras_curvature.typing import Wrt


def checked_wrt(wrt: Any) -> Wrt:
    """What `wrt=` may be; a list as a tuple.

    Raises:
        TypeError: if it is none of these.
        ValueError: for an empty list.
    """
    several = isinstance(wrt, (list, tuple))
    parts = wrt if several else [] if wrt is None else [wrt]
    if any(isinstance(part, bool) or not isinstance(part, (int, str)) for part in parts):
        raise TypeError(
            "`wrt` must be None, the index or name of an input, the name of a layer, or a list of "
            f"indexes or names of inputs. Received: {wrt!r}."
        )
    if several and not parts:
        raise ValueError(
            "`wrt` as a list must hold at least one index or name of an input. Received: "
            f"{wrt!r}. Leave it out to differentiate by all inputs."
        )
    return tuple(parts) if several else wrt


def chosen_inputs(
    names: Sequence[str], wrt: Wrt, layers: Collection[str], *, counted: bool
) -> list[int]:
    """The indexes of the inputs to differentiate by.

    Args:
        names: of the inputs.
        wrt: what was asked for, unless it is a layer.
        layers: names of the model's layers.
        counted: whether the inputs are in the order in which the user wrote them.

    Raises:
        ValueError: for an input that there is not, or is there twice, and for an index that may
            mean another input.
    """
    if wrt is None:
        return list(range(len(names)))
    parts = [wrt] if isinstance(wrt, (int, str)) else wrt
    index = next((part for part in parts if isinstance(part, int)), None)
    if index is not None and not counted:
        raise ValueError(
            f"`wrt` must name inputs by {list(names)}: Keras sorts the keys of a dict of inputs, "
            f"which were written in another order, so that an index may mean another one. "
            f"Received: {index}."
        )
    chosen = [_index(names, part, layers) for part in parts]
    twice = [names[i] for i in dict.fromkeys(chosen) if chosen.count(i) > 1]
    if twice:
        raise ValueError(
            f"`wrt` must hold each input once. Received: {list(parts)}, where {twice[0]!r} is "
            "there more than once."
        )
    return chosen


def _index(names: Sequence[str], wrt: int | str, layers: Collection[str]) -> int:
    if isinstance(wrt, str):
        if wrt in names:
            return names.index(wrt)
        layer = f", a layer. A layer stands alone: `wrt={wrt!r}`" if wrt in layers else ""
        raise ValueError(
            f"`wrt` as a list must hold indexes or names of the model's inputs {list(names)}. "
            f"Received: {wrt!r}{layer}."
        )
    if not -len(names) <= wrt < len(names):
        raise ValueError(
            f"`wrt` must be an index into the model's {len(names)} input(s) {list(names)}. "
            f"Received: {wrt}."
        )
    return wrt % len(names)
