"""What an estimate is: a number, and how far it may be off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A mean over random directions, in the user's structure of outputs.

    Attributes:
        value: unbiased, for every example and output.
        standard_error: standard deviation of `value` over other draws of the directions,
            estimated from how the directions of this draw differ; NaN for a single one. Its
            square is what a square of `value` is too large by, on average.
    """

    value: Any
    standard_error: Any


@dataclass(frozen=True)
class Eigenvalues:
    """The lowest and the highest eigenvalue of each Hessian, in the user's structure of outputs.

    Attributes:
        value: lowest and highest, `(batch, *output_shape, 2)`. Never beyond the true ones, but
            for rounding.
        direction: their eigenvectors, of length 1, `(batch, *output_shape, 2, *input_shape)`.
        residual: `|Hu − value u|` of each, `(batch, *output_shape, 2)`: an eigenvalue lies no
            further than that from `value`.
    """

    value: Any
    direction: Any
    residual: Any
