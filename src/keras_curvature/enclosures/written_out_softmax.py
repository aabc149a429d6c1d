"""Softmax as JAX writes it out: exp(z - max z), over its sum."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from keras_curvature.engines.api import ComputedStep

LESS_LARGEST = "less largest of a row"
"""What the engines call z - max z."""

ALONG = ("broadcast_in_dim", "reshape", "expand_dims", "copy")
"""What brings a sum back to the shape of its terms."""


@dataclass(frozen=True)
class SoftmaxOf:
    """What a step is the softmax of.

    Attributes:
        name: the logits.
        axis: counted from the end.
        log: whether it is the logarithm.
    """

    name: Hashable
    axis: int
    log: bool


def softmax_of(step: ComputedStep, writers: Mapping[Hashable, ComputedStep]) -> SoftmaxOf | None:
    """What a step is the softmax of, if it is one."""
    if step.op.type not in ("div", "sub") or len(step.reads) != 2 or None in step.reads:
        return None
    log = step.op.type == "sub"
    terms = _back(step.reads[1], writers, (*ALONG, "log") if log else ALONG)
    if terms is None or terms.op.type != "reduce_sum":
        return None
    exponential = writers.get(terms.reads[0])
    if exponential is None or exponential.op.type != "exp":
        return None
    less = writers.get(exponential.reads[0])
    if less is None or less.op.type != LESS_LARGEST or less.reads[0] is None:
        return None
    if step.reads[0] != (less.writes[0] if log else exponential.writes[0]):
        return None
    axis = less.op.params["axis"]
    if tuple(terms.op.params["axes"]) != (axis,):
        return None
    return SoftmaxOf(less.reads[0], axis - len(less.inputs[0].shape), log)


def _back(
    name: Hashable | None, writers: Mapping[Hashable, ComputedStep], through: tuple[str, ...]
) -> ComputedStep | None:
    step = writers.get(name)
    while step is not None and step.op.type in through:
        step = writers.get(step.reads[0])
    return step
