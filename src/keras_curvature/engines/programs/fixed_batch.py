"""Models that take so many examples at a time and no others, each in its own place.

A stateful recurrent layer has a state for each place in the batch, and a program may hold the
number of examples as a constant. What repeats examples, as engines and differences do, hands over
with each row the place of its example, a number beside the other inputs. A row is computed in a
batch of its copies, of which the one in its place is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.chunking import counted
from keras_curvature.engines.inputs import Inputs

compilation = own_module("compilation")


def rows(f: Any) -> int | None:
    """How many examples a model takes, if it takes no others.

    While a backend traces it is given what the user gives it, and is not tried.
    """
    if not compilation.is_eager(f.weights()):
        return None
    try:
        f.traced_for(2 if f.examples != 2 else 4)
    except Exception:  # whatever it raises for a batch that it does not take
        return int(f.examples)
    return None


def size(inputs: Inputs, f: Any, *, coupled: bool) -> int | None:
    """How many examples a model takes at a time, or `None` for any number."""
    count, found = inputs.leaves[0].shape[0], rows(f)
    if found is None:  # What depends on the whole batch is a function of one example alone.
        return 1 if coupled and count == 1 else None
    return found


def require_a_row_each(outputs: Sequence[Any], examples: int) -> None:
    """Raises ValueError where an output has rows for anything else than the examples.

    One without any axis is refused where outputs are laid flat.
    """
    for y in outputs:
        if y.shape and y.shape[0] != examples:
            raise ValueError(not_a_row_each(y.shape[0], examples))


def not_a_row_each(found: int, examples: int | None) -> str:
    """What to say of an output that has not a row for each example."""
    return (
        f"The first axis of the output must be that of the examples. Received: {found} rows for "
        f"{counted(examples or 0)}. Derivatives are taken for each example: leave their axis where "
        "it is, and reduce over the others only."
    )


def placed(inputs: Inputs, batch: int) -> Inputs:
    """The inputs with the place of each example behind them."""
    places = np.arange(inputs.leaves[0].shape[0], dtype="int32") % batch
    return replace(inputs, leaves=(*inputs.leaves, places))
