"""Derivatives of a primitive without a rule, from JAX's own: `jvp`, and `jvp` of `jvp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from keras_curvature.engines.jax.arrays import has_derivative
from keras_curvature.engines.taylor import without_rule
from keras_curvature.engines.taylor.higher_orders import HigherOrders
from keras_curvature.engines.taylor.jets import Base, Jet, plus, spread
from keras_curvature.engines.taylor.modes import Adjoint, Collapsed, Mode, UnsuitedError
from keras_curvature.engines.taylor.registry import Jets, Step

Tangents = Sequence[Any]


def propagate(step: Step, jets: Jets, mode: Mode, *, piecewise_linear: bool = False) -> Jets:
    """The jets of the outputs of any primitive that JAX can differentiate.

    Args:
        step: the primitive as it was run.
        jets: of its inputs.
        mode: carries the second order.
        piecewise_linear: whether it has none of its own.

    Raises:
        UnsuitedError: where nothing of second order is carried and the primitive has one.
    """
    if isinstance(mode, Adjoint) and not piecewise_linear:
        raise UnsuitedError(step.op.type)
    active = [i for i, jet in enumerate(jets) if jet is not None]
    wanted = [i for i, y in enumerate(step.outputs) if has_derivative(y.dtype)]
    if isinstance(mode, HigherOrders) and not piecewise_linear:
        return without_rule.propagate(step, jets, mode, wanted, _along_paths)
    values = tuple(step.inputs[i] for i in active)
    bases = [mode.settle(jet).base for jet in jets if jet is not None]

    def function(*arguments: Any) -> list[Any]:
        inputs = list(step.inputs)
        for i, argument in zip(active, arguments, strict=True):
            inputs[i] = argument
        outputs = step.again(inputs)
        return [outputs[i] for i in wanted]

    def along(*v: Any) -> list[Any]:
        return jax.jvp(function, values, v)[1]

    def twice_along(*v: Any) -> tuple[list[Any], list[Any]]:
        return jax.jvp(lambda *x: jax.jvp(function, x, v)[1], values, v)

    firsts = [spread(base.first, x) for base, x in zip(bases, values, strict=True)]
    seconds: list[Any] = [None] * len(wanted)
    if piecewise_linear or not mode.has_second:
        found = jax.vmap(along)(*firsts)
    else:
        found, seconds = jax.vmap(twice_along)(*firsts)
        if isinstance(mode, Collapsed):
            seconds = [jnp.sum(s, axis=0, keepdims=True) for s in seconds]
    if mode.has_second and any(base.second is not None for base in bases):
        inherited = [_second(base, x, mode) for base, x in zip(bases, values, strict=True)]
        carried = jax.vmap(along)(*inherited)
        seconds = [plus(own, more) for own, more in zip(seconds, carried, strict=True)]
    jets_out: list[Jet | None] = [None] * len(step.outputs)
    for i, first, second in zip(wanted, found, seconds, strict=True):
        jets_out[i] = Jet(step.outputs[i], Base(first, second))
    return jets_out


def _along_paths(
    path_of: Callable[[Sequence[Any]], without_rule.Path],
    reach: int,
    stacks: Sequence[Any],
    outputs: Sequence[Any],
) -> list[Any]:
    """Derivatives by a number of all orders up to `reach`, for each slice of the stacks."""

    def derivatives(*slices: Any) -> list[Any]:
        path = path_of(slices)

        def lower(t: Any, order: int) -> list[Sequence[Any]]:
            if order == 0:
                return [path(t)]
            found, slopes = jax.jvp(lambda t: lower(t, order - 1), (t,), (jnp.ones_like(t),))
            return [*found, slopes[-1]]

        _, *found = lower(jnp.zeros((), jnp.real(slices[0]).dtype), reach)
        return [y for ys in found for y in ys]

    return list(jax.vmap(derivatives)(*stacks))


def _second(base: Base, x: Any, mode: Mode) -> Any:
    if base.second is None:
        return jnp.zeros((mode.slices, *x.shape), base.first.dtype)
    return spread(base.second, x)


def vmapped(step: Step, stack: Any, index: int = 0) -> Any:
    """A linear primitive on a stack that holds all examples."""
    return jax.vmap(lambda x: step.with_operand(x, index))(stack)


Function = Callable[..., Any]
