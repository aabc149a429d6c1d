"""What stands in the place of the pairs of inputs where they have nothing to show."""

from __future__ import annotations

import numpy as np

from keras_curvature.typing import Array


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
