"""Whether the curvature at a scale is more than rounding."""

from __future__ import annotations

import numpy as np

from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Sample, Subject
from keras_curvature.measurement import rounding_noise
from keras_curvature.measurement.exact import ROUNDING_LIMIT
from keras_curvature.typing import Array


def scale_below_rounding(s: Subject, taken: Sample, noise: Array) -> list[Finding]:
    """The finding that differences at the scale are mostly noise.

    Args:
        s: the subject.
        taken: values at the examples.
        noise: rounding in one value in float64, `(k,)`.
    """
    spread = taken.value.std(axis=0)
    relative = float(np.max(noise / np.where(spread > 0, spread, 1.0)))
    h = float(np.min(s.h / s.spread))
    share = float(rounding_noise.in_second_difference(np.array(relative), np.array(h)))
    if share <= ROUNDING_LIMIT:
        return []
    enough = float(h * np.sqrt(share / ROUNDING_LIMIT))
    return [
        Finding(
            kind="scale below rounding",
            where=f"scale of {h:.2g} standard deviations",
            layers=(),
            found=f"Rounding alone gives (f(x + h) - 2 f(x) + f(x - h)) / h² a spread of "
            f"{share:.2g} in standard deviations of x and y.",
            meaning="At this scale the curvature is noise of the arithmetic; it grows as 1 / h².",
            advice=f"Take a scale of at least {enough:.2g} standard deviations of each input, "
            "or leave it at 'auto', a quarter of one.",
            size=share,
        )
    ]
