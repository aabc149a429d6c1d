"""Inputs that are the same at all examples, and that the model magnifies."""

from __future__ import annotations

import numpy as np

from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Sample, Subject
from keras_curvature.engines.backend import value_and_jacobian
from keras_curvature.report.text import listed
from keras_curvature.typing import Tensor

EXAMPLES = 8
"""Examples at which slopes along them are taken."""

MAGNIFIED = 1e4
"""Slope along such an input, in standard deviations of the output over the input itself, from which
it is told of: as if a change in its fourth digit took the output through one of its own.

An adapted `Normalization` divides a column without variance by Keras's epsilon, 1e-7.
"""


def magnified(s: Subject, taken: Sample) -> list[Finding]:
    """The finding that derivatives along a constant input say nothing, and are enormous.

    Args:
        s: the subject.
        taken: values at the examples.
    """
    if not s.still.any():
        return []
    f = s.f64

    def compute(*leaves: Tensor) -> dict[str, Tensor]:
        z, rest = f.point(leaves)
        return {"z": z, "jacobian": value_and_jacobian(f, z, rest)[1]}

    found = s.run(compute, s.first(EXAMPLES), f.outputs.width)
    spread = taken.value.std(axis=0)[:, None]
    slope = np.abs(found["jacobian"] / np.where(spread > 0, spread, 1.0)).max(axis=(0, 1))
    place = np.abs(found["z"]).max(axis=0)
    size = np.where(s.still, slope * np.where(place > 0, place, 1.0), 0.0)
    named = [f"input {i}" for i in np.flatnonzero(size >= MAGNIFIED)]
    if not named:
        return []
    return [
        Finding(
            kind="constant input",
            where=listed(named),
            layers=(),
            found=f"The same at all {s.total} examples, and the model magnifies it: changed by a "
            f"millionth, it would move the output by {1e-6 * size.max():.2g} standard deviations.",
            meaning="Derivatives along it are enormous in the units of the data, and say nothing: "
            "no data tell what the output does there. In standard deviations it has no weight.",
            advice="Leave the column out, or read numbers in standard deviations. A Normalization "
            "layer that was adapted to it divides it by 1e-7, for want of a variance.",
            size=float(size.max()),
        )
    ]
