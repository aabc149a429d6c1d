"""Products of matrices, and convolutions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from keras_curvature.engines.taylor.jets import Base, Jet, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step
from keras_curvature.engines.taylor.rule_constructors import (
    product,
)


def _left(step: Step, stack: Any) -> Any:
    """A product with a constant on the right, of all directions as one matrix where it is one."""
    return torch.matmul(stack, step.inputs[1])


def _right(step: Step, stack: Any) -> Any:
    return torch.matmul(step.inputs[0], spread(stack, step.inputs[1]))


def _both(step: Step, a: Any, b: Any) -> Any:
    return torch.matmul(a, b)


def _both_summed(step: Step, a: Any, b: Any) -> Any:
    """The sum over the directions is one more axis to contract."""
    if a.ndim == 3:
        return torch.einsum("kij,kjl->il", a, b)[None]
    return torch.einsum("kbij,kbjl->bil", a, b)[None]


def matrix_product() -> Rule:
    """`mm` and `bmm`."""
    plain = product(_both, _left, _right, _both_summed)

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        a, b = jets
        _, w = step.inputs
        whole = a is not None and isinstance(a.of, Base) and a.base.is_identity
        if b is None and whole and w.ndim == 2:
            return [Jet(step.outputs[0], Base(w[:, None]))]
        return plain.propagate(step, jets, mode)

    return replace(plain, propagate=propagate)


OF_A_CONVOLUTION = (
    "stride",
    "padding",
    "dilation",
    "transposed",
    "output_padding",
    "groups",
)


def _convolved(step: Step, x: Any, w: Any) -> Any:
    p = step.op.params
    return torch.convolution(x, w, None, *(p[name] for name in OF_A_CONVOLUTION))


def convolution() -> Rule:
    """`convolution`, to which a bias may be added."""

    def left(step: Step, stack: Any) -> Any:
        flat = stack.reshape(-1, *stack.shape[2:])
        found = _convolved(step, flat, step.inputs[1])
        return found.reshape(*stack.shape[:2], *found.shape[1:])

    def right(step: Step, stack: Any) -> Any:
        return torch.stack([_convolved(step, step.inputs[0], w) for w in stack])

    def both(step: Step, a: Any, b: Any) -> Any:
        return torch.stack([_convolved(step, x, w) for x, w in zip(a, b, strict=True)])

    plain = product(both, left, right)

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        if len(jets) > 2 and jets[2] is not None:
            raise NotImplementedError("convolution by its bias")
        return plain.propagate(step, jets[:2], mode)

    return replace(plain, propagate=propagate)
