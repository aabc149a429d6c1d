"""What a picture of a proof shows: boxes, and what is known of a claim in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_curvature.typing import Array


@dataclass(frozen=True)
class BoxMap:
    """One claim over a box of one or two inputs.

    Attributes:
        claim: in words.
        verdict: on it, over the whole box: `"Proved"`, `"Refuted"`, `"Refuted at a point"` or
            `"Open"`.
        shares: of the volume of the whole box, in words.
        derivative: that decides, in words.
        names: of the inputs, one or two.
        low: lower corner of the box.
        high: upper corner.
        held: what the other inputs are held at, in words, where this is a slice of the box.
        corners: of the small boxes, lower and upper, each `(n, inputs)`.
        states: of each, 1 if proved, 0 if open, -1 if refuted.
        bounds: of the derivative in each, `(2, n)`.
        limit: that the derivative has to keep to.
        worst: a point that refutes it, or `None`.
    """

    claim: str
    verdict: str
    shares: str
    derivative: str
    names: tuple[str, ...]
    low: Array
    high: Array
    held: str
    corners: tuple[Array, Array]
    states: NDArray[np.int8]
    bounds: Array
    limit: float
    worst: Array | None
