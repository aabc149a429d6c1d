"""Derivatives that are not numbers."""

from __future__ import annotations

import numpy as np

from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Sample, Subject
from keras_curvature.engines.api import Place, xp
from keras_curvature.engines.backend import results_of
from keras_curvature.typing import Tensor


def not_finite(s: Subject, taken: Sample) -> list[Finding]:
    """The finding that values or derivatives are NaN or infinite, and where that begins."""
    bad = ~taken.finite
    if not bad.any():
        return []
    first, what = _first(s, int(np.flatnonzero(bad)[0]))
    begins = f" {what} that is not finite is that of {first}." if first else ""
    return [
        Finding(
            kind="not finite",
            where=str(first or ""),
            layers=(first.layer,) if first and first.layer else (),
            found=f"At {int(bad.sum())} of {s.count} examples the value, the slope or the second "
            f"derivative is NaN or infinite.{begins}",
            meaning="No number here says anything there, and means leave these examples out."
            if not bad.all()
            else "No number here says anything.",
            advice="Look for NaN in the weights; for a logarithm, a root or a division at 0, where "
            "a small constant helps.",
            size=float(bad.mean()),
        )
    ]


def _first(s: Subject, example: int) -> tuple[Place | None, str]:
    """The first op on the way whose value is not finite at an example, or else its slope."""
    f = s.bound.f
    found = results_of(f, *f.point([leaf[example : example + 1] for leaf in s.leaves]))
    for result in found:
        if not _is_finite(result.value):
            return result.place, "The first value"
    lost = [r.gradient is not None and not _is_finite(r.gradient) for r in found]
    for i, result in reversed(list(enumerate(found))):
        # Derivatives come from behind: finite after this op and not before it.
        if not lost[i] and any(lost[j] for j in result.before):
            return result.place, "The slope"
    return None, ""


def _is_finite(tensor: Tensor) -> bool:
    return bool(np.isfinite(xp.to_numpy(tensor)).all())
