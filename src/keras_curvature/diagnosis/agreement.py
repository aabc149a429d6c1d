"""Whether the derivatives are those of the values: autodiff against differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_curvature.diagnosis.activations import layers_of, named
from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Subject, sample
from keras_curvature.engines.api import RELATIVE_STEP, Place, traits_of
from keras_curvature.engines.backend import first_derivatives
from keras_curvature.typing import Array

EXAMPLES = 8
"""Examples at which derivatives and differences are compared."""

QUANTISED = "quantisation"
"""What such ops are called in the table of parts."""

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
    by_hand = [p for p in activity.active if p.op_type == "IdentityN" and not _of_silu(s, p)]
    return [place for place in activity.cuts if place.op_type != "Cast"] or quantised or by_hand


def _of_silu(s: Subject, place: Place) -> bool:
    """Whether a hand-written gradient is that of `tf.nn.silu`, which is right."""
    inner = place.op_name.rpartition("/")[0]
    return any(
        p.op_type == "Sigmoid" and p.op_name.startswith(inner) for p in s.bound.f.activity.active
    )


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

    def compute(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        *leaves, v, h = tensors
        z, rest = f.point(leaves)
        ends = tf.concat([z + h * v, z - h * v], axis=0)
        others = [tf.concat([r, r], axis=0) for r in rest]
        value, jacobian = first_derivatives.value_and_jacobian(f, ends, others)
        slope = tf.reduce_sum(jacobian * tf.concat([v, v], axis=0)[:, None], axis=-1)
        ahead, behind = tf.split(tf.stack([value, slope]), 2, axis=1)
        first, second = tf.unstack((ahead - behind) / (2 * h))
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
