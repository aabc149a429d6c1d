"""Sums and means of composed functions, without working their tangents out first.

What is the same along the summed axes comes out of the sum: of a variance's three bends only
one is left to be computed in the size of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Base, Composite, Jet, plus, sizes, stretch, times
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import linear
from keras_curvature.engines.tensorflow.taylor.batch_axis import along, axis_list
from keras_curvature.engines.tensorflow.taylor.rules.shapes import behind


def reduction() -> Rule:
    """`Sum` and `Mean`."""
    plain = linear(_reduced, along(1))

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        axes = axis_list(step.op.inputs[1], step.inputs[0].shape.rank)
        function = None if jets[0] is None else jets[0].of
        if axes and 0 not in axes and _gains(function, axes):
            return [Jet(step.outputs[0], _Sum(step, axes, mode).of(function))]
        return plain.propagate(step, jets, mode)

    return replace(plain, propagate=propagate)


def _reduced(step: Step, stack: tf.Tensor) -> tf.Tensor:
    return step.again([stack, behind(step.inputs[1], step.inputs[0].shape.rank)])[0]


def _gains(function: Base | Composite | None, axes: Sequence[int]) -> TypeGuard[Composite]:
    """Whether a part of a function comes out of its sum."""
    return isinstance(function, Composite) and any(_is_alike(b, axes) for b in function.bases)


def _is_alike(base: Base, axes: Sequence[int]) -> bool:
    """Whether a base is the same throughout along some axes."""
    return all(base.first.shape[axis + 1] == 1 for axis in axes)


class _Sum:
    """A sum or a mean along axes, of functions of bases."""

    def __init__(self, step: Step, axes: Sequence[int], mode: Mode) -> None:
        self._step = step
        self._axes = axes
        self._mode = mode

    def of(self, function: Composite) -> Base:
        """The derivatives of the sum of a function."""
        first, second = None, None
        for base, slope in zip(function.bases, function.slopes, strict=True):
            alike = _is_alike(base, self._axes)
            first = plus(first, self._weighted(slope, base.first, alike))
            if base.second is not None:
                second = plus(second, self._weighted(slope, base.second, alike))
        for (i, j), bend in function.bends.items():
            own = self._bent(bend, function.bases[i], function.bases[j])
            second = plus(second, own if i == j else 2 * own)
        assert first is not None
        return Base(first, second)

    def _weighted(self, slope: tf.Tensor | None, stack: tf.Tensor, alike: bool) -> tf.Tensor:
        if slope is not None and slope.shape.rank == 0:
            return slope * self._weighted(None, stack, alike)
        if alike and slope is not None:
            return self._total(slope[None]) * self._without_axes(stack)
        return self._total(times(slope, stack))

    def _bent(self, bend: tf.Tensor, one: Base, other: Base) -> tf.Tensor:
        alike, same = (_is_alike(base, self._axes) for base in (one, other))
        if not alike and not same:
            return self._weighted(bend, self._mode.contract(one.first, other.first), False)
        narrow, wide = (one, other) if alike else (other, one)
        return self._mode.contract(
            self._without_axes(narrow.first), self._weighted(bend, wide.first, alike and same)
        )

    def _total(self, stack: tf.Tensor) -> tf.Tensor:
        return _reduced(self._step, stretch(stack, self._step.inputs[0]))

    def _without_axes(self, stack: tf.Tensor) -> tf.Tensor:
        """A stack that is the same along the axes, in the shape of the result."""
        if self._step.op.get_attr("keep_dims"):
            return stack
        kept = [i for i in range(2, stack.shape.rank) if i - 1 not in self._axes]
        lengths = sizes(stack)
        return tf.reshape(stack, [*lengths[:2], *(lengths[i] for i in kept)])
