"""What an answer is worth beside the truth: right, off by how much, lost in rounding, not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_curvature.verification.stencils import first_weights, second_weights

ROUGH = 1e-3
"""What is right where the values have the digits of float32, whatever their dtype says."""

WIDER = (1, 3, 9)
"""Steps tried beside the usual one, where values have too few digits for it (float32 inside)."""

NEXT_TO_IT = 1e-7
"""Its square is below the rounding of float64."""

ENOUGH = 1e-7
"""Of a second derivative: what need not be known better."""

TELLING = r"gradient|derivative|rule|not found|not impl|support|Error"
"""What the line has in it that says what is wrong, among those of where."""

RELATIVE = {"float64": 1e-5, "float32": 1e-3}
"""What is right: half of a dtype's digits, for a second derivative loses as many at most here."""


@dataclass(frozen=True)
class Truth:
    """A second derivative along a direction, for each of n examples.

    Attributes:
        second: the numbers, `(n,)`; NaN where there is none.
        size: what errors count against, `(n,)`.
        doubt: how far the numbers themselves may be off, `(n,)`.
    """

    second: np.ndarray
    size: np.ndarray
    doubt: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """Of one way in one place.

    Attributes:
        kind: `"right"`, `"wrong"`, `"lost"` (below the rounding of the largest), `"undefined"`
            (there is no second derivative), `"raises"` or `"unknown"` (the truth is in doubt).
        words: by how much, what came instead, or what was raised.
    """

    kind: str
    words: str = ""


def by_differences(
    values: Callable[[np.ndarray], np.ndarray], z: np.ndarray, v: np.ndarray, h: float, order: int
) -> Truth:
    """Central differences of high order in float64, with a shorter step for the doubt.

    Args:
        values: the function, `(n, d)` to `(n,)`.
        z: points.
        v: directions.
        h: the step.
        order: of the differences.
    """
    rounding = _noise(values, z, v)
    second = doubt = None
    for wider in WIDER:
        tried = _second(values, z, v, wider * h, order)
        away = np.abs(tried - _second(values, z, v, 0.7 * wider * h, order))
        away = np.maximum(away, 3 * rounding / (wider * h) ** 2)
        if doubt is None:
            second, doubt = tried, away
        second, doubt = np.where(away < doubt, tried, second), np.minimum(away, doubt)
        if np.all(doubt < ENOUGH * np.abs(second)):
            break
    slope = np.zeros(len(z))
    for k, weight in enumerate(first_weights(order), 1):
        slope += weight * (values(z + k * h / 4 * v) - values(z - k * h / 4 * v)) / (h / 4)
    return Truth(second, np.maximum(np.abs(second), 1e-2 * np.abs(slope)), doubt)


def _noise(values: Callable[[np.ndarray], np.ndarray], z: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What values are off by: bends over steps so short that nothing else bends."""
    centre = values(z)
    reach = (NEXT_TO_IT * k * v for k in range(1, 5))
    bends = [np.abs((values(z + r) - centre) + (values(z - r) - centre)) / 2 for r in reach]
    return np.max(bends, axis=0)


def _second(
    values: Callable[[np.ndarray], np.ndarray], z: np.ndarray, v: np.ndarray, h: float, order: int
) -> np.ndarray:
    centre = values(z)
    total = np.zeros(len(z))
    for k, weight in enumerate(second_weights(order), 1):
        total += weight * ((values(z + k * h * v) - centre) + (values(z - k * h * v) - centre))
    return total / h**2


def judged(found: np.ndarray, truth: Truth, dtype: str) -> list[Verdict]:
    """A verdict for each example."""
    floor = np.finfo(dtype).eps * np.nanmax(np.abs(truth.second), initial=0)
    return [
        _one(f, t, s, d, floor, RELATIVE[dtype], np.finfo(dtype).tiny)
        for f, t, s, d in zip(
            np.asarray(found, "float64"), truth.second, truth.size, truth.doubt, strict=True
        )
    ]


def _one(
    found: float,
    true: float,
    size: float,
    doubt: float,
    floor: float,
    relative: float,
    tiny: float,
) -> Verdict:
    if np.isnan(true):
        return Verdict("undefined", f"{found + 0.0:.3g}")
    if not np.isfinite(found):
        return Verdict("wrong", f"{found} for {true:.3g}")
    error = abs(found - true)
    if 10 * doubt <= ROUGH * size:  # values with float32 inside tell so much and no more
        relative = max(relative, 10 * doubt / size) if size else relative
    if error <= relative * size + tiny:
        return Verdict("right")
    if error <= 10 * doubt:
        return Verdict("unknown", f"differences say {true:.3g} ± {doubt:.0e}")
    if error <= floor:
        return Verdict("lost", f"{found + 0.0:.2g} for {true:.2g}")
    digits = 3 if error > 1e-2 * abs(true) else 6
    return Verdict("wrong", f"{found + 0.0:.{digits}g} for {true:.{digits}g}")


def raised(error: BaseException) -> Verdict:
    """What a user reads, in a line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    text = text.partition("Arguments received by")[0]  # Keras says them after what matters
    text = re.sub(r"0x[0-9a-f]+|/[\w./-]+/|_[0-9]+(?=_|\b)|[0-9]{5,}", "…", text)  # by the process
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception encountered")]
    telling = [line for line in lines if re.search(TELLING, line)]
    return Verdict("raises", f"{type(error).__name__}: {[*telling, *lines, 'no message'][0]}"[:160])
