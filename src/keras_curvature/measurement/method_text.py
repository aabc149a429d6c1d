"""What is said of how something was measured, exactly or by estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_curvature.engines.api import BoundModel, chunking
from keras_curvature.typing import Array

NAMED = 4
"""Inputs that a sentence names."""

UNITS = {
    "raw": "the units of x and y",
    "std": "standard deviations (σ) of each input and output over the probe",
}

SHAPE = (
    "Shape: at every point the derivative along the input, and the difference over a window of "
    "half-width h around it, moved inside the probe's range, in float64. Where one of them is of "
    "the wrong sign, the shape is broken; that none is proves nothing between the points. Along an "
    "input of two values: the change from the lower to the higher."
)


def begun(clause: str) -> str:
    """A clause as the beginning of a sentence; names in it keep their capitals.

    Example:
        >>> begun("exact, by Taylor propagation")
        'Exact, by Taylor propagation'
    """
    return clause[:1].upper() + clause[1:]


def remarks(*problems: BoundModel) -> tuple[str, ...]:
    """What else a reader has to know: where memory ran out, and what was mended."""
    fitting: Mapping[Any, int] = {
        key: size for bound in problems for key, size in bound.evaluator.fitting.items()
    }
    said = []
    if fitting:
        said.append(
            "The memory ran out once: derivatives are computed for as few as "
            f"{chunking.counted(min(fitting.values()))} at a time since."
        )
    mended = problems[0].f.activity.mended
    if mended:
        places = ", ".join(sorted({str(place) for place in mended}))
        said.append(
            f"TensorFlow's own second derivative is wrong or missing here, and mended: {places}."
        )
    return tuple(said)


def some(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are.

    Example:
        >>> some(["a", "b"]), some(["a", "b", "c", "d", "e", "f"])
        ('a, b', 'a, b, c, d and 2 more')
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def few(values: Array) -> str:
    """One number per input: their one value, all of them, or how far they range if many."""
    if len(values) <= 3:
        return ", ".join(f"{value:.3g}" for value in values)
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}, one per input"
