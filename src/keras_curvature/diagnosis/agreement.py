"""Whether the derivatives are those of the values: autodiff against differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_curvature.diagnosis.activations import layers_of, named
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Subject, sample
from keras_curvature.engines.api import RELATIVE_STEP, Place, traits_of, xp
from keras_curvature.engines.backend import value_and_jacobian
from keras_curvature.typing import Array, Tensor

EXAMPLES = 8
"""Examples at which derivatives and differences are compared."""

QUANTISED = "quantisation"
"""What such ops are called in the table of parts."""

CASTS = {"Cast", "convert_element_type"}
COMPARISONS = {
    *("Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "NotEqual"),
    *("eq", "ge", "gt", "le", "lt", "ne"),
}
"""Ops at which a derivative ends because what they give has none; another op decides by it."""

DIFFERENT = 0.01
"""Relative error from which they are not the same: differences are right to about 1e-5 here."""


@dataclass(frozen=True)
class Agreement:
    """How far autodiff is from differences, at the typical example, relative to the larger.

    Attributes:
        slope: of the first derivative, against differences of values.
        curvature: of the second, against differences of the first; relative to a hundredth
            of the slope where both are smaller than that.
    """

    slope: float
    curvature: float


def agreement(s: Subject, noise: Array) -> Agreement:
    """Compares with central differences in float64.

    Args:
        s: the subject.
        noise: rounding in one value, `(k,)`.
    """
    count = min(EXAMPLES, s.count)
    exact = sample(s, s.f64, count)
    rounding = float(np.linalg.norm(noise))
    size = float(np.abs(exact.value).max())
    # Truncation, h², meets rounding here; models that round to float32 need a longer step.
    h = max(RELATIVE_STEP, (rounding / size) ** (1 / 3) if size else 0.0)
    slope, curvature = _differences(s, count, h)
    # What rounding can make of the differences does not count; gradients round ten times more.
    allowed = 10 * max(rounding, float(np.finfo(np.float64).eps) * size) / h
    level = _norm(exact.slope)
    return Agreement(
        slope=_typical(_norm(slope - exact.slope) - allowed, _larger(slope, exact.slope)),
        curvature=_typical(
            _norm(curvature - exact.curvature) - 10 * allowed,
            np.maximum(_larger(curvature, exact.curvature), DIFFERENT * level),
        ),
    )


def findings(s: Subject, found: Agreement) -> list[Finding]:
    """The finding that derivatives are not those of the values, and where that comes from."""
    places = altering(s)
    if found.slope >= DIFFERENT:
        return [_altered(places, found.slope, "first")]
    if found.curvature < DIFFERENT:
        return []
    if places:
        return [_altered(places, found.curvature, "second")]
    return [_suspect(found.curvature)]


def altering(s: Subject) -> list[Place]:
    """Where a derivative is stopped, rounded away or written by hand."""
    activity = s.bound.f.activity
    curves = [(p, traits_of(p.op_type).curve) for p in activity.active]
    quantised = [p for p, curve in curves if curve and curve.word == QUANTISED]
    cuts = [place for place in activity.cuts if place.op_type not in CASTS]
    stopped = [place for place in cuts if place.op_type not in COMPARISONS]
    return stopped or quantised or list(activity.by_hand) or cuts


def _altered(places: Sequence[Place], size: float, order: str) -> Finding:
    return Finding(
        kind="altered gradient",
        where=named(places),
        layers=layers_of(places),
        found=f"The {order} derivative is {size:.0%} off from differences of what it is the "
        "derivative of, at the typical example.",
        meaning="A stopped, rounded or hand-written gradient stands in for the true one: autodiff "
        "describes another function than the one whose values you see.",
        advice="If that is on purpose, as in a straight-through estimator, trust "
        "kc.scale_curvature, which differences the values; else take it out.",
        size=size,
    )


def _suspect(size: float) -> Finding:
    return Finding(
        kind="suspect",
        where="",
        layers=(),
        found=f"The second derivative is {size:.0%} off from differences of the first, at the "
        "typical example, and no stopped gradient explains it.",
        meaning="One of the ops may have a wrong second derivative that is not known yet.",
        advice='Use engine="finite_difference" for this model, and report it with the model.',
        size=size,
    )


def _differences(s: Subject, count: int, h: float) -> tuple[Array, Array]:
    """Of values and of slopes along `v`, over `h` to both sides."""
    f = s.f64

    def compute(*tensors: Tensor) -> dict[str, Tensor]:
        *leaves, v, h = tensors
        z, rest = f.point(leaves)
        ends = xp.concatenate([z + h * v, z - h * v], axis=0)
        others = [xp.concatenate([r, r], axis=0) for r in rest]
        value, jacobian = value_and_jacobian(f, ends, others)
        slope = xp.sum(jacobian * xp.concatenate([v, v], axis=0)[:, None], axis=-1)
        found = xp.reshape(xp.stack([value, slope]), [2, 2, -1, f.outputs.width])
        first, second = xp.unstack((found[:, 0] - found[:, 1]) / (2 * h))
        return {"slope": first, "curvature": second}

    steps = np.full((count, 1), h)
    tensors = (*s.first(count), s.v[:count], steps)
    found = s.run(compute, tensors, 2 * f.outputs.width)
    return found["slope"], found["curvature"]


def _norm(values: Array) -> Array:
    """Over the outputs."""
    return np.linalg.norm(values, axis=1)


def _larger(a: Array, b: Array) -> Array:
    return np.maximum(_norm(a), _norm(b))


def _typical(error: Array, size: Array) -> float:
    """The median of the relative errors: a kink within a step is not typical."""
    error = np.maximum(error, 0.0)
    relative = np.divide(error, size, out=np.zeros_like(error), where=size > 0)
    return float(np.nanmedian(relative)) if np.isfinite(relative).any() else 0.0
