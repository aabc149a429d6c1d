"""What the number of a pair of inputs is, and what stands in its place where there is none."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from keras_curvature.report.metrics import FEATURE
from keras_curvature.typing import Array

BETWEEN_TWO_VALUES = "averaged over the way between two values"
"""Of a pair with an input of two values: the change of a slope over the difference of these."""


def measured_as(
    pairs: Collection[tuple[str, str]], two_valued: Collection[str], size: str = "|{}|"
) -> str:
    """What the numbers of these pairs are, and their unit.

    Args:
        pairs: names of two inputs each.
        two_valued: names of the inputs that have two values in the probe.
        size: how a magnitude is written.
    """
    between = any(not {*pair}.isdisjoint(two_valued) for pair in pairs)
    said = f"mean {size.format('mixed second derivative')}, {FEATURE.unit}"
    return f"{said}; {BETWEEN_TWO_VALUES}" if between else said


def why_none(pairs: Array | None, over: Array) -> str:
    """Why there is no picture of the pairs of inputs; empty where there is one.

    Args:
        pairs: mean |exact Hessian|, shape `(d, d)`, or `None` where it was not taken.
        over: mean |second difference| along each input, kinks included, shape `(d,)`.
    """
    if pairs is None:
        only = f"With {len(over)} inputs only its diagonal was taken."
        return f"That needs the whole Hessian.\n{only}"
    if not np.isfinite(pairs).any():
        return "No entry of the exact Hessian is finite."
    if np.nansum(pairs):
        return ""
    kinks = "\nAll curvature sits in kinks: see the bars over ± h." if np.nansum(over) else ""
    return f"Every entry of the exact Hessian is 0.{kinks}"
