"""Sums of products over named axes, with the directions as one more axis."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_curvature.engines.op_types import Traits
from keras_curvature.engines.taylor.jets import sizes, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import OnStack, product
from keras_curvature.engines.tensorflow.taylor import batch_axis


class _Equation:
    """The equation of an einsum."""

    def __init__(self, step: Step) -> None:
        equation = step.op.get_attr("equation").decode()
        operands, self.output = equation.split("->")
        self.operands = operands.split(",")
        self.axis = next(c for c in string.ascii_letters if c not in equation)

    def on_stacks(self, which: set[int], *, collapsed: bool = False) -> str:
        """With the directions in front of some operands, and of the result or summed."""
        parts = [self.axis + part if i in which else part for i, part in enumerate(self.operands)]
        return ",".join(parts) + "->" + ("" if collapsed else self.axis) + self.output

    def shares(self, index: int) -> bool:
        """Whether one slice may stand for all examples: no other operand has that axis."""
        first = self.operands[index][:1]
        others = [part for i, part in enumerate(self.operands) if i != index]
        return first != "." and first in self.output and not any(first in p for p in others)

    def as_matrices(self) -> _Matrices | None:
        """As a product of stacked matrices, if it is one."""
        if len(self.operands) != 2 or "." in "".join(self.operands):
            return None
        (a, b), y = self.operands, self.output
        if any(len(set(part)) != len(part) for part in (a, b)):
            return None
        stacked = "".join(c for c in y if c in a and c in b)
        rows = "".join(c for c in y if c not in b)
        columns = "".join(c for c in y if c not in a)
        summed = "".join(c for c in a if c in b and c not in y)
        if not stacked or set(a + b) != set(stacked + rows + columns + summed):
            return None
        return _Matrices(a, b, y, stacked, rows, columns, summed)


@dataclass(frozen=True)
class _Matrices:
    """An einsum whose operands share axes that stay, as the heads of attention do.

    With the directions as one more such axis in front, the operands are transposed once and
    the result is not; `tf.einsum` would move the directions among the rows and back.

    Attributes:
        a: the axes of the left operand.
        b: of the right one.
        y: of the result.
        stacked: those that all three have.
        rows: those of the left operand alone.
        columns: those of the right one alone.
        summed: those that are summed over.
    """

    a: str
    b: str
    y: str
    stacked: str
    rows: str
    columns: str
    summed: str

    def product(self, a: tf.Tensor, b: tf.Tensor, *, collapsed: bool = False) -> tf.Tensor:
        """The result for operands of which any has the directions in front, or their sum."""
        left, is_transposed = self._matrices(a, self.a, self.rows)
        right, is_straight = self._matrices(b, self.b, self.columns)
        found = tf.matmul(left, right, transpose_a=is_transposed, transpose_b=not is_straight)
        if collapsed:
            found = tf.reduce_sum(found, axis=0, keepdims=True)
        return self._back(found, a, b)

    def _matrices(
        self,
        operand: tf.Tensor,
        axes: str,
        free: str,
    ) -> tuple[tf.Tensor, bool]:
        """The operand as matrices, and whether their rows are what is summed over.

        The last axis stays the last where it can.
        """
        sums_down = axes[-1] not in self.summed
        inner = (self.summed, free) if sums_down else (free, self.summed)
        lead = operand.shape.rank - len(axes)
        order = self.stacked + inner[0] + inner[1]
        moved = _transposed(operand, [*range(lead), *(lead + axes.index(c) for c in order)])
        keep = lead + len(self.stacked)
        known = sizes(moved)
        split = keep + len(inner[0])
        shape = [*known[:keep], _length(known[keep:split]), _length(known[split:])]
        return tf.reshape(moved, shape), sums_down

    def _back(self, found: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        known = dict(zip(self.a, sizes(a, a.shape.rank - len(self.a)), strict=True))
        known |= zip(self.b, sizes(b, b.shape.rank - len(self.b)), strict=True)
        order = self.stacked + self.rows + self.columns
        lead = found.shape.rank - len(self.stacked) - 2
        whole = tf.reshape(found, [*sizes(found)[:lead], *(known[c] for c in order)])
        return _transposed(whole, [*range(lead), *(lead + order.index(c) for c in self.y)])


def _transposed(tensor: tf.Tensor, order: Sequence[int]) -> tf.Tensor:
    return tensor if list(order) == sorted(order) else tf.transpose(tensor, order)


def _length(lengths: Sequence[Any]) -> Any:
    return math.prod(lengths)  # of no axes: 1


def _both(step: Step, a: tf.Tensor, b: tf.Tensor, *, collapsed: bool = False) -> tf.Tensor:
    equation = _Equation(step)
    matrices = equation.as_matrices()
    if matrices is not None:
        return matrices.product(a, b, collapsed=collapsed)
    found = tf.einsum(equation.on_stacks({0, 1}, collapsed=collapsed), a, b)
    return found[None] if collapsed else found


def _one(index: int) -> OnStack:
    def on_stack(step: Step, stack: tf.Tensor) -> tf.Tensor:
        equation = _Equation(step)
        inputs = list(step.inputs)
        inputs[index] = stack if equation.shares(index) else spread(stack, inputs[index])
        matrices = equation.as_matrices()
        if matrices is None:
            return tf.einsum(equation.on_stacks({index}), *inputs)
        return matrices.product(*inputs)

    return on_stack


def einsum_product() -> Rule:
    """`Einsum` of one or two operands."""
    both = product(_both, _one(0), _one(1), functools.partial(_both, collapsed=True))

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        return both.propagate(step, jets if len(jets) > 1 else [*jets, None], mode)

    return Rule(propagate, Traits(is_multilinear=True), batch_axis.einsum)
