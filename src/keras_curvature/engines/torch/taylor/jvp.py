"""Derivatives of an operation without a rule, from PyTorch's own reverse mode alone.

The slope along a direction is the gradient of `u -> u J v` by `u`: `J` comes of one pass backwards
and is transposed by another. Forward mode is wrong for some operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from keras_curvature.engines.taylor import without_rule
from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.jets import Base, Jet, plus, spread
from keras_curvature.engines.taylor.modes import Adjoint, Collapsed, Mode, UnsuitedError
from keras_curvature.engines.taylor.registry import Jets, Step
from keras_curvature.engines.torch.arrays import has_derivative

Function = Callable[..., Sequence[Any]]

FORWARD = {"_linalg_eigh"}
"""Of complex matrices by forward mode: the other takes no gradient of real eigenvalues twice."""


def propagate(step: Step, jets: Jets, mode: Mode, *, piecewise_linear: bool = False) -> Jets:
    """The jets of the outputs of any operation that PyTorch can differentiate.

    Args:
        step: the operation as it was run.
        jets: of its inputs.
        mode: carries the second order.
        piecewise_linear: whether it has none of its own.

    Raises:
        UnsuitedError: where nothing of second order is carried and the operation has one.
    """
    if isinstance(mode, Adjoint) and not piecewise_linear:
        raise UnsuitedError(step.op.type)
    active = [i for i, jet in enumerate(jets) if jet is not None]
    wanted = [i for i, y in enumerate(step.outputs) if has_derivative(y.dtype)]
    if isinstance(mode, HigherOrders) and not piecewise_linear:
        return without_rule.propagate(step, jets, mode, wanted, _along_paths)
    values = [step.inputs[i] for i in active]
    bases = [mode.settle(jet).base for jet in jets if jet is not None]

    def function(*arguments: Any) -> list[Any]:
        inputs = list(step.inputs)
        for i, argument in zip(active, arguments, strict=True):
            inputs[i] = argument
        outputs = step.again(inputs)
        return [outputs[i] for i in wanted]

    forward = step.op.type in FORWARD and any(x.is_complex() for x in values)
    slopes = _forward_slopes if forward else _slopes
    firsts = [spread(base.first, x) for base, x in zip(bases, values, strict=True)]
    second_order = mode.has_second and not piecewise_linear
    found = [slopes(function, values, [s[i] for s in firsts]) for i in range(mode.directions)]
    seconds: list[Any] = [None] * len(wanted)
    if second_order:
        bends = [
            slopes(_along(slopes, function, [s[i] for s in firsts]), values, [s[i] for s in firsts])
            for i in range(mode.directions)
        ]
        seconds = _stacked(bends)
        if isinstance(mode, Collapsed):
            seconds = [torch.sum(s, dim=0, keepdim=True) for s in seconds]
    if mode.has_second and any(base.second is not None for base in bases):
        inherited = [_second(base, x, mode) for base, x in zip(bases, values, strict=True)]
        carried = _stacked(
            [slopes(function, values, [s[i] for s in inherited]) for i in range(mode.slices)]
        )
        seconds = [plus(own, more) for own, more in zip(seconds, carried, strict=True)]
    jets_out: list[Jet | None] = [None] * len(step.outputs)
    for i, first, second in zip(wanted, _stacked(found), seconds, strict=True):
        jets_out[i] = Jet(step.outputs[i], Base(first, second))
    return jets_out


def _along_paths(
    path_of: Callable[[Sequence[Any]], without_rule.Path],
    reach: int,
    stacks: Sequence[Any],
    outputs: Sequence[Any],
) -> list[Any]:
    """Derivatives by a number of all orders up to `reach`, for each slice of the stacks."""

    def derivatives(slices: Sequence[Any]) -> list[Any]:
        path = path_of(slices)
        start = torch.zeros((), dtype=slices[0].real.dtype, device=slices[0].device)

        def totals(t: Any, *weights: Any) -> tuple[Any, list[Any]]:
            """`u · y(t)`, a number, whose derivatives one pass backwards has each."""
            pairs = zip(path(t), weights, strict=True)
            return sum(torch.sum((y * u.conj()).real) for y, u in pairs), []

        def derived(function: Callable[..., Any]) -> Callable[..., Any]:
            def derivative(t: Any, *weights: Any) -> tuple[Any, list[Any]]:
                found, (value, known) = torch.func.grad(_with_itself(function), has_aux=True)(
                    t, *weights
                )
                return found, [*known, value]

            return derivative

        function = totals
        for _ in range(reach):
            function = derived(function)

        def all_of_them(*weights: Any) -> tuple[Any, ...]:
            last, (_, *lower) = function(start, *weights)
            return (*lower, last)

        ones = [torch.ones_like(y) for y in outputs]
        found, pull = torch.func.vjp(all_of_them, *ones)
        units = torch.eye(reach, dtype=found[0].dtype, device=found[0].device)
        return [y for unit in units for y in pull(tuple(unit))]

    count = stacks[0].shape[0]
    return _stacked([derivatives([stack[i] for stack in stacks]) for i in range(count)])


def _with_itself(function: Callable[..., Any]) -> Callable[..., Any]:
    def value_and_aux(*given: Any) -> Any:
        value, known = function(*given)
        return value, (value, known)

    return value_and_aux


def _along(slopes: Callable[..., list[Any]], function: Function, v: Sequence[Any]) -> Function:
    return lambda *x: slopes(function, list(x), v)


def _slopes(function: Function, x: Sequence[Any], v: Sequence[Any]) -> list[Any]:
    """The derivatives of a function of some tensors along `v`."""

    def transposed(*u: Any) -> Any:
        _, pull = torch.func.vjp(lambda *given: tuple(function(*given)), *x)
        return pull(u)

    zeros = [torch.zeros_like(y) for y in function(*x)]
    _, pull = torch.func.vjp(transposed, *zeros)
    return list(pull(_like(v, x)))


def _forward_slopes(function: Function, x: Sequence[Any], v: Sequence[Any]) -> list[Any]:
    """The same by PyTorch's forward mode."""
    found = torch.func.jvp(lambda *given: tuple(function(*given)), tuple(x), _like(v, x))
    return list(found[1])


def _like(v: Sequence[Any], x: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(a.to(b.dtype).expand_as(b) for a, b in zip(v, x, strict=True))


def _stacked(rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [torch.stack(list(parts)) for parts in zip(*rows, strict=True)]


def _second(base: Base, x: Any, mode: Mode) -> Any:
    if base.second is None:
        return torch.zeros((mode.slices, *x.shape), dtype=base.first.dtype, device=x.device)
    return spread(base.second, x)
