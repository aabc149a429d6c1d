"""What a model's graph allows: where it begins linearly, and whether examples stay in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Base, Jet
from keras_curvature.engines.taylor.registry import Step
from keras_curvature.engines.tensorflow.taylor.active_path import Passage, ends_derivatives
from keras_curvature.engines.tensorflow.taylor.propagation import rule_for
from keras_curvature.engines.tensorflow.taylor.tape import may_carry


def active_steps(steps: Iterable[Step], sources: Sequence[tf.Tensor]) -> list[Step]:
    """The steps that depend on the sources by a derivative."""
    active = {tensor.ref() for tensor in sources}
    found = []
    for step in steps:
        depends = any(_ref(tensor) in active for tensor in step.inputs)
        carriers = [y.ref() for y in step.outputs if may_carry(y)]
        if depends and carriers and not ends_derivatives(step.op):
            active.update(carriers)
            found.append(step)
    return found


def as_steps(way: Iterable[Passage]) -> list[Step]:
    """Traced ops that have not run, for what only looks at how they hang together."""
    ops = [passage.op for passage in way]
    return [
        Step(op, tuple(op.inputs), tuple(op.outputs), lambda inputs: [], None, {}) for op in ops
    ]


def batch_leads(way: Iterable[Passage]) -> bool:
    """Whether every tensor on the way has the examples along its first axis, in order.

    Seen in the traced graph, where only the batch has no known size.
    """
    return all(keeps_batch(passage) for passage in way)


def keeps_batch(passage: Passage) -> bool:
    """Whether an op hands on examples along the first axis, in order."""
    rule = rule_for(passage.op)
    if rule is None or not rule.keeps_batch(passage.op):
        return False
    return all(
        y.shape.rank
        and y.shape[0] is None
        and None not in y.shape[1:].as_list()
        and not y.dtype.is_complex
        for y in passage.outputs
    )


@dataclass(frozen=True, eq=False)
class Cut:
    """A tensor on which everything depends, and that depends linearly on the point.

    Attributes:
        tensor: of shape `(n, *shape)`.
        before: the steps up to it.
        after: the steps behind it.
        width: how many numbers it has per example.
    """

    tensor: tf.Tensor
    before: tuple[Step, ...]
    after: tuple[Step, ...]
    width: int

    def start(self, rows: tf.Tensor) -> list[Jet]:
        """The jet of the tensor for directions `(k, width)` of its own."""
        stack = tf.reshape(rows, [rows.shape[0], 1, *self.tensor.shape[1:]])
        return [Jet(self.tensor, Base(stack))]


def linear_entry(
    steps: Sequence[Step], sources: Sequence[tf.Tensor], results: Sequence[tf.Tensor]
) -> Cut | None:
    """The narrowest tensor that a model's linear beginning goes through, if there is one."""
    last_use: dict[Any, float] = {_ref(y): math.inf for y in results}
    for position, step in enumerate(steps):
        for tensor in step.inputs:
            last_use[_ref(tensor)] = max(position, last_use.get(_ref(tensor), 0))
    active = {tensor.ref(): tensor for tensor in sources}
    best: Cut | None = None
    for position, step in enumerate(steps):
        reached = [i for i, tensor in enumerate(step.inputs) if _ref(tensor) in active]
        if reached:
            rule = rule_for(step.op)
            if rule is None or rule.traits.is_piecewise or not rule.traits.is_linear_in(reached):
                break
            if not rule.keeps_batch(step.op):
                break
            active |= {y.ref(): y for y in step.outputs}
        waiting = [y for ref, y in active.items() if last_use.get(ref, -1) > position]
        if len(waiting) == 1:
            width = _width(waiting[0])
            if width is not None and (best is None or width <= best.width):
                behind = position + 1
                best = Cut(waiting[0], tuple(steps[:behind]), tuple(steps[behind:]), width)
    return best


def _width(tensor: tf.Tensor) -> int | None:
    if not tensor.shape.rank or None in tensor.shape[1:].as_list():
        return None
    return math.prod(tensor.shape[1:])


def _ref(tensor: Any) -> Any:
    return tensor.ref() if hasattr(tensor, "ref") else None
