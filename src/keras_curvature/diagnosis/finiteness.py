"""Derivatives that are not numbers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_curvature.diagnosis.results import Finding
from keras_curvature.diagnosis.subject import Sample, Subject
from keras_curvature.engines.api import Place
from keras_curvature.engines.backend import run


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
    graph = f.traced.graph
    names = {op.name for op in graph.get_operations()}
    seen = [
        (p, graph.get_operation_by_name(p.op_name)) for p in f.activity.active if p.op_name in names
    ]
    seen = [(place, op) for place, op in seen if op.outputs[0].dtype.is_floating]
    z, rest = f.point([leaf[example : example + 1] for leaf in s.leaves])
    fetches = [op.outputs[0] for _, op in seen]
    with tf.GradientTape() as tape:
        tape.watch(z)
        values = run(f.traced, f.feeds(z, rest), [*fetches, *f.fetches], f.dtype)
    for (place, _), value in zip(seen, values, strict=False):
        if not _is_finite(value):
            return place, "The first value"
    gradients = tape.gradient(values[len(seen) :], values[: len(seen)])
    lost = {
        id(op): gradient is not None and not _is_finite(gradient)
        for (_, op), gradient in zip(seen, gradients, strict=True)
    }
    for place, op in reversed(seen):
        # Derivatives come from behind: finite after this op and not before it.
        if not lost[id(op)] and any(lost.get(id(tensor.op), False) for tensor in op.inputs):
            return place, "The slope"
    return None, ""


def _is_finite(tensor: tf.Tensor) -> bool:
    return bool(tf.reduce_all(tf.math.is_finite(tensor)))
