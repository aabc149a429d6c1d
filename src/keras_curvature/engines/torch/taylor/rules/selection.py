"""Operations that choose among entries, or between two functions."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import torch

from keras_curvature.engines.op_types import (
    EVERY_INPUT,
    Traits,
    elsewhere,
    itself,
)
from keras_curvature.engines.taylor import elementwise as formulas
from keras_curvature.engines.taylor.chain_rule import Argument
from keras_curvature.engines.taylor.jets import Base, Jet, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, never
from keras_curvature.engines.taylor.rule_constructors import (
    linear_in,
)
from keras_curvature.engines.torch.taylor import jvp
from keras_curvature.engines.torch.taylor.batch_axis import dims_of


def piecewise(word: str, instead: str, switches: Any = None) -> Rule:
    """A function that is linear between kinks, by PyTorch's own derivatives."""
    rule = Rule(functools.partial(jvp.propagate, piecewise_linear=True))
    return rule.kinked(word, instead, switches)


def chosen_entries(word: str, instead: str, dim_of: Any = None) -> Rule:
    """Values that come of entries whose places are the second output."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        if len(step.outputs) < 2 or not step.inputs[0].ndim:
            return jvp.propagate(step, jets, mode, piecewise_linear=True)
        dim = step.op.params["dim"] % step.inputs[0].ndim
        places = step.outputs[1]
        if places.ndim < step.inputs[0].ndim:
            places = places.unsqueeze(dim)
        (jet,) = jets[:1]
        assert jet is not None
        base = mode.settle(jet).base

        def taken(stack: Any) -> Any:
            whole = spread(stack, step.inputs[0])
            index = places.expand(len(whole), *places.shape)
            found = whole.gather(dim + 1, index)
            return found.reshape(len(whole), *step.outputs[0].shape)

        second = None if base.second is None else taken(base.second)
        return [Jet(step.outputs[0], Base(taken(base.first), second)), None]

    return Rule(propagate).kinked(word, instead)


def pooled() -> Rule:
    """`max_pool2d_with_indices` and its kin: places are counted through the plane."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        y, places = step.outputs
        (jet,) = jets
        assert jet is not None
        base, axes = mode.settle(jet).base, len(step.op.params["kernel_size"])
        flat = places.flatten(-axes)

        def taken(stack: Any) -> Any:
            whole = spread(stack, step.inputs[0]).flatten(-axes)
            found = whole.gather(-1, flat.expand(len(whole), *flat.shape))
            return found.reshape(len(whole), *y.shape)

        second = None if base.second is None else taken(base.second)
        return [Jet(y, Base(taken(base.first), second)), None]

    return Rule(propagate).kinked("max pooling", "average pooling")


def largest_of_axes(pick: Any) -> Rule:
    """`amax` and `amin`: the first of several entries that are the largest."""
    plain = piecewise("maximum over an axis", "a mean or logsumexp")

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        dims = dims_of(step.op)
        (jet,) = jets
        x, y = step.inputs[0], step.outputs[0]
        if len(dims) != 1 or not x.ndim:
            return plain.propagate(step, jets, mode)
        assert jet is not None
        base, dim = mode.settle(jet).base, dims[0]
        places = pick(x, dim, keepdim=True)

        def taken(stack: Any) -> Any:
            whole = spread(stack, x)
            found = whole.gather(dim + 1, places.expand(len(whole), *places.shape))
            return found.reshape(len(whole), *y.shape)

        second = None if base.second is None else taken(base.second)
        return [Jet(y, Base(taken(base.first), second))]

    return replace(plain, propagate=propagate)


def clipped(word: str = "clipping", instead: str = "tanh") -> Rule:
    """`clamp` between two bounds."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        (x, *_), (y,), (jet, *of_bounds) = step.inputs, step.outputs, jets
        if jet is None or any(of_bounds) or x.shape != y.shape:
            return jvp.propagate(step, jets, mode, piecewise_linear=True)
        return [mode.elementwise(y, [Argument(jet, (x == y).to(y.dtype))], {})]

    return Rule(propagate, Traits(is_pointwise=True)).kinked(word, instead, _bounds)


def _bounds(x: Any, *bounds: Any) -> list[Any]:
    return [x - bound for bound in bounds]


def scaled_below() -> Rule:
    """`leaky_relu`."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        x, y, jet = step.inputs[0], step.outputs[0], jets[0]
        assert jet is not None
        slope = formulas.where_positive(x, 1, 0)
        slope = slope + (1 - slope) * step.op.params["negative_slope"]
        return [mode.elementwise(y, [Argument(jet, slope)], {})]

    return Rule(propagate, Traits(is_pointwise=True)).kinked(
        "leaky_relu", "softplus or silu", itself
    )


def selection() -> Rule:
    """`where`: each entry comes from one of two."""

    def taken(step: Step, i: int, stack: Any) -> Any:
        which, y = step.inputs[0], step.outputs[0]
        if i == 0:
            raise NotImplementedError
        x = step.inputs[i]
        whole = spread(stack, x)
        whole = whole.reshape(len(whole), *[1] * (y.ndim - x.ndim), *x.shape)
        chosen = which if i == 1 else ~which
        return torch.where(chosen, whole, torch.zeros((), dtype=y.dtype, device=y.device))

    return replace(
        linear_in(EVERY_INPUT, taken, never),
        traits=Traits(linear_in=(1, 2)),
    ).kinked("where", "a smooth transition", elsewhere)


def filled() -> Rule:
    """`masked_fill`: 0 where another number was put."""

    def on_stack(step: Step, stack: Any) -> Any:
        y = step.outputs[0]
        whole = spread(stack, step.inputs[0]).expand(len(stack), *y.shape)
        return whole.masked_fill(step.inputs[1], 0)

    return linear_in((0,), lambda step, i, stack: on_stack(step, stack), never)
