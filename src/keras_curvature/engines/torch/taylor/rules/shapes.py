"""Linear operations: what they do to a stack of directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_curvature.engines.op_types import (
    EVERY_INPUT,
    Traits,
)
from keras_curvature.engines.taylor.jets import Base, Jet, is_shared, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, never
from keras_curvature.engines.taylor.rule_constructors import (
    linear_in,
)
from keras_curvature.engines.torch.taylor.batch_axis import dims_of


def moved(on_stack: Callable[[Step, Any], Any]) -> Rule:
    """A linear function of the first input whose stack may hold one slice for all examples."""
    return linear_in((0,), lambda step, i, stack: on_stack(step, stack))


def _one_by_one(step: Step, i: int, stack: Any) -> Any:
    """A linear function of all its inputs of floats, for one direction after the other."""
    inputs = [
        torch.zeros_like(x)
        if isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex())
        else x
        for x in step.inputs
    ]
    return torch.stack([step.again([*inputs[:i], x, *inputs[i + 1 :]])[0] for x in stack])


def linear_one_by_one() -> Rule:
    """A linear function of all its inputs, by what it does to each direction."""
    return linear_in(None, _one_by_one, never)


def written_over() -> Rule:
    """What is put in the place of all that a tensor was."""

    def on_stack(step: Step, i: int, stack: Any) -> Any:
        x, y = step.inputs[1], step.outputs[0]
        whole = spread(stack, x)
        whole = whole.reshape(len(whole), *[1] * (y.ndim - x.ndim), *x.shape)
        return whole.expand(len(whole), *y.shape)

    return linear_in((1,), on_stack, never)


def axes_of_stack(step: Step, name: str = "dim") -> tuple[int, ...]:
    """The axes of a stack that are those which an operation is told."""
    return tuple(dim + 1 for dim in dims_of(step.op, name, step.inputs[0].ndim))


def _whole_along(step: Step, stack: Any, dims: Sequence[int]) -> Any:
    """The stack, in full where something is done along the axis of the examples."""
    return spread(stack, step.inputs[0]) if 1 in dims else stack


def _along_axes(step: Step, stack: Any) -> Any:
    dims = axes_of_stack(step)
    if not step.inputs[0].ndim:
        return stack
    found = torch.sum(_whole_along(step, stack, dims), dims, keepdim=step.op.params["keepdim"])
    return found.to(step.outputs[0].dtype)


def _of_all(step: Step, stack: Any) -> Any:
    whole = spread(stack, step.inputs[0])
    return whole.reshape(len(whole), -1).sum(1).to(step.outputs[0].dtype)


def summed(step: Step, stack: Any) -> Any:
    """A sum over some axes, or over all."""
    return _along_axes(step, stack) if "keepdim" in step.op.params else _of_all(step, stack)


def mean(step: Step, stack: Any) -> Any:
    """A mean over some axes, or over all."""
    x, y = step.inputs[0], step.outputs[0]
    return summed(step, stack) / (x.numel() / max(1, y.numel()))


def _leads(step: Step) -> bool:
    x, y = step.inputs[0], step.outputs[0]
    return bool(x.ndim and y.ndim) and x.shape[0] == y.shape[0]


def _sized(step: Step, stack: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """A result's shape for a stack, which may hold one slice for all examples."""
    examples = 1 if is_shared(stack, step.inputs[0]) else shape[0]
    return (stack.shape[0], examples, *shape[1:])


def reshaped(step: Step, stack: Any) -> Any:
    """The same numbers in another shape."""
    y = step.outputs[0]
    if not _leads(step):
        return spread(stack, step.inputs[0]).reshape(stack.shape[0], *y.shape)
    return stack.reshape(_sized(step, stack, y.shape))


def expanded(step: Step, stack: Any) -> Any:
    """The same numbers for each of more."""
    x, y = step.inputs[0], step.outputs[0]
    if x.ndim == y.ndim and _leads(step):
        return stack.expand(_sized(step, stack, y.shape))
    whole = spread(stack, x)
    missing = y.ndim - x.ndim
    return whole.reshape(len(whole), *[1] * missing, *x.shape).expand(len(whole), *y.shape)


def permuted(step: Step, stack: Any) -> Any:
    """Axes in another order."""
    order = axes_of_stack(step, "dims")
    stack = stack if order[0] == 1 else spread(stack, step.inputs[0])
    return stack.permute(0, *order)


def transposed(step: Step, stack: Any) -> Any:
    """Two axes exchanged."""
    rank = step.inputs[0].ndim
    if not rank:
        return stack
    a, b = (step.op.params[name] % rank + 1 for name in ("dim0", "dim1"))
    return _whole_along(step, stack, (a, b)).transpose(a, b)


def selected(step: Step, stack: Any) -> Any:
    """One entry along an axis."""
    (dim,) = axes_of_stack(step)
    return _whole_along(step, stack, (dim,)).select(dim, step.op.params["index"])


def sliced(step: Step, stack: Any) -> Any:
    """Some entries along an axis."""
    (dim,), p = axes_of_stack(step), step.op.params
    whole = _whole_along(step, stack, (dim,))
    return torch.ops.aten.slice.Tensor(whole, dim, p["start"], p["end"], p["step"])


def flipped(step: Step, stack: Any) -> Any:
    """Entries in the other order."""
    dims = axes_of_stack(step, "dims")
    return _whole_along(step, stack, dims).flip(dims)


def cumulated(step: Step, stack: Any) -> Any:
    """Sums up to each entry."""
    (dim,) = axes_of_stack(step)
    return torch.cumsum(_whole_along(step, stack, (dim,)), dim)


def cast(step: Step, stack: Any) -> Any:
    """In another dtype."""
    return stack.to(step.outputs[0].dtype)


def padded(step: Step, stack: Any) -> Any:
    """With zeros around it."""
    pad = step.op.params["pad"]
    whole = spread(stack, step.inputs[0]) if len(pad) >= 2 * step.inputs[0].ndim else stack
    return torch.nn.functional.pad(whole, pad)


def joined(place: Callable[[Sequence[Any], int], Any], more: int = 0) -> Rule:
    """Lays several inputs side by side along an axis, or on top of each other."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        dim = step.op.params["dim"] % (step.inputs[0].ndim + more) + 1
        bases = [None if jet is None else mode.settle(jet).base for jet in jets]
        shared = dim > 1 and all(
            base is None or all(s is None or is_shared(s, x) for s in (base.first, base.second))
            for base, x in zip(bases, step.inputs, strict=True)
        )

        def together(stacks: Sequence[Any], count: int) -> Any:
            like = next(s for s in stacks if s is not None)
            whole = [
                torch.zeros(
                    (count, *([1, *x.shape[1:]] if shared else x.shape)),
                    dtype=like.dtype,
                    device=x.device,
                )
                if stack is None
                else stack
                if shared
                else spread(stack, x)
                for stack, x in zip(stacks, step.inputs, strict=True)
            ]
            return place(whole, dim)

        first = together([b and b.first for b in bases], mode.directions)
        seconds = [b and b.second for b in bases]
        none = all(stack is None for stack in seconds)
        second = None if none else together(seconds, mode.slices)
        return [Jet(step.outputs[0], Base(first, second))]

    return Rule(propagate, Traits(linear_in=EVERY_INPUT))


def parted(take: Callable[[Step, Any, int], Sequence[Any]]) -> Rule:
    """Takes one input apart into several outputs along an axis."""

    def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
        jet = jets[0]
        assert jet is not None
        base = mode.settle(jet).base
        (dim,) = axes_of_stack(step)
        first, second = (
            stack if stack is None else _whole_along(step, stack, (dim,))
            for stack in (base.first, base.second)
        )
        firsts = take(step, first, dim)
        seconds = [None] * len(firsts) if second is None else take(step, second, dim)
        return [
            Jet(y, Base(*stacks)) for y, *stacks in zip(step.outputs, firsts, seconds, strict=True)
        ]

    return Rule(propagate, Traits(linear_in=(0,)))


def split(step: Step, stack: Any, dim: int) -> Sequence[Any]:
    """In parts along an axis."""
    sizes = [y.shape[dim - 1] for y in step.outputs]
    return stack.split(sizes, dim)


def folded() -> Rule:
    """A linear operation that treats the examples along the first axis alike: more do."""

    def on_stack(step: Step, stack: Any) -> Any:
        flat = stack.reshape(-1, *stack.shape[2:])
        found = step.with_operand(flat)
        return found.reshape(*stack.shape[:2], *found.shape[1:])

    return moved(on_stack)
