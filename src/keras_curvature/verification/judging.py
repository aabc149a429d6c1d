"""Whether an answer is within what is allowed of what differences say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.diagnosis.subject import Subject
from keras_curvature.engines.api import BoundModel, xp
from keras_curvature.typing import Array
from keras_curvature.verification.answers import Answer
from keras_curvature.verification.line_derivatives import IN_DOUBT
from keras_curvature.verification.results import Check
from keras_curvature.verification.truth import Lines, Truth, relative

CLEAN = 1e-12
"""Rounding of values, relative to the largest, from which they are not those of float64."""


@dataclass(frozen=True)
class Tolerance:
    """What is allowed where differences are exact, relative to the scale, and why."""

    size: float
    reason: str


def tolerance_of(bound: BoundModel, rounding: float) -> Tolerance:
    """What may be expected of the derivatives of a model.

    Args:
        bound: the model and the dtype of its results.
        rounding: of its values in float64, relative to the largest.
    """
    if bound.result_dtype != xp.dtype_of("float64"):
        return Tolerance(1e-3, "float32: of its 7 digits a second derivative keeps 3 or more")
    if rounding > CLEAN:
        return Tolerance(1e-3, "the model's values round far more than float64 does")
    return Tolerance(1e-6, "float64; what every layer of Keras is held to by this library's tests")


def judged(
    s: Subject, lines: Lines, name: str, answer: Answer, truth: Truth, tolerance: Tolerance
) -> Check:
    """Compares what the library says with what differences say."""
    compared = compare(answer.value, truth, tolerance)
    return compared.check(name, answer.engine, lambda *place: _place(s, lines, *place))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Numbers against differences, place by place; arrays `(n, k, ...)`.

    Attributes:
        error: relative to the largest size of the quantity.
        allowed: of that size.
        can_tell: whether differences can.
        kinked: where they cannot because they change with the step.
    """

    error: Array
    allowed: Array
    can_tell: NDArray[np.bool_]
    kinked: NDArray[np.bool_]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Where more is off than is allowed."""
        return self.can_tell & (self.error > self.allowed)

    @property
    def worst(self) -> tuple[int, ...]:
        """The place of the largest error of the wrong ones, or the worst against its allowance."""
        none = np.full(self.error.shape, -1.0)
        if self.wrong.any():
            share = np.where(self.wrong, self.error, none)
        else:
            share = np.divide(self.error, self.allowed, out=none, where=self.can_tell)
        return tuple(int(i) for i in np.unravel_index(share.argmax(), share.shape))

    def check(self, name: str, engine: str, place: Callable[..., str]) -> Check:
        """The quantity's check; `place` says in words where an index is."""
        worst, some = self.worst, bool(self.can_tell.any())
        return Check(
            name=name,
            engine=engine,
            error=float(self.error[worst]) if some else float("nan"),
            allowed=float(self.allowed[worst]) if some else float("nan"),
            where=place(*worst),
            places=self.error.size,
            judged=int(self.can_tell.sum()),
            at_kinks=int(self.kinked.sum()),
            wrong=int(self.wrong.sum()),
        )


def compare(value: Array, truth: Truth, tolerance: Tolerance) -> Comparison:
    """Compares numbers with what differences say, `(n, k, ...)`."""
    size, scale = (a.reshape(-1, *[1] * (value.ndim - 2)) for a in (truth.size, truth.scale))
    with np.errstate(invalid="ignore"):
        error = relative(np.abs(value - truth.estimate.value), size)
    error = np.where(np.isfinite(value), error, np.inf)
    doubt, can_tell = truth.estimate.doubt, truth.can_tell
    allowed = tolerance.size * np.where(size == scale, 1.0, relative(scale, size))
    allowed = allowed + IN_DOUBT * relative(doubt, size)
    return Comparison(error, allowed, can_tell, ~can_tell & (truth.estimate.rounding < doubt / 2))


def _place(s: Subject, lines: Lines, example: int, output: int, axis: int | None = None) -> str:
    """Where in the user's terms."""
    words = [f"example {s.chosen[example]}"]
    total = s.bound.f.outputs.width
    if total > s.f.outputs.width:
        words.append("a mixture of the outputs")
    elif total > 1:
        words.append(f"output {output}")
    if axis is not None:
        subset, i = s.bound.f.inputs.subset, lines.axes[axis]
        words.append(f"input {i}" if subset is None else f"column {subset.indexes[i]}")
    return ", ".join(words)
