"""Loops of a known length: jets are carried with the values."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from keras_curvature.engines.jax.arrays import has_derivative
from keras_curvature.engines.jax.interpreter import parts_of_scan, read
from keras_curvature.engines.jax.jaxprs import flattened
from keras_curvature.engines.programs.program import Slot
from keras_curvature.engines.taylor.jets import Base, Jet, spread
from keras_curvature.engines.taylor.modes import Adjoint, Mode, UnsuitedError
from keras_curvature.engines.taylor.registry import Jets, Step


def propagate(step: Step, jets: Jets, mode: Mode) -> Jets:
    """The jets of what a loop leaves.

    Raises:
        UnsuitedError: where nothing of second order is carried.
    """
    if isinstance(mode, Adjoint):
        raise UnsuitedError(step.op.type)
    from keras_curvature.engines.programs.propagation import advance_through

    p, dtype = step.op.params, step.interpreter
    program = flattened(p["jaxpr"])
    triples = [_triple(x, jet, mode) for x, jet in zip(step.inputs, jets, strict=True)]
    consts, carry, xs = parts_of_scan(p, triples)
    kept = len(carry)
    # What is carried depends on the point after one step at the latest, for all that is known.
    carry = [_filled(triple, mode) for triple in carry]
    moved = [tuple(_ahead(part, i) for i, part in enumerate(t)) for t in xs]

    def body(carried: Any, some: Any) -> Any:
        some = [tuple(_back(part, i) for i, part in enumerate(t)) for t in some]
        given = [*consts, *carried, *some]
        values = {slot: t[0] for slot, t in zip(program.arguments, given, strict=True)}
        inner = {
            slot: Jet(t[0], Base(t[1], t[2]))
            for slot, t in zip(program.arguments, given, strict=True)
            if t[1] is not None
        }
        values, inner = advance_through(program.instructions, values, inner, mode, dtype)
        found = []
        for result in program.results:
            jet = inner.get(result) if isinstance(result, Slot) else None
            found.append(_triple(read(result, values, dtype), jet, mode))
        after = [_filled(t, mode) for t in found[:kept]]
        after = [_like(t, before) for t, before in zip(after, carried, strict=True)]
        return tuple(after), tuple(
            tuple(_ahead_one(part, i) for i, part in enumerate(t)) for t in found[kept:]
        )

    last, ys = lax.scan(body, tuple(carry), tuple(moved), length=p["length"], reverse=p["reverse"])
    outputs = [*last, *(tuple(_stacked(part, i) for i, part in enumerate(t)) for t in ys)]
    return [
        None if t[1] is None else Jet(y, Base(t[1], t[2]))
        for y, t in zip(step.outputs, outputs, strict=True)
    ]


def _triple(x: Any, jet: Jet | None, mode: Mode) -> tuple[Any, Any, Any]:
    if jet is None:
        return x, None, None
    base = mode.settle(jet).base
    second = None
    if mode.has_second:
        second = (
            jnp.zeros((mode.slices, *x.shape), x.dtype)
            if base.second is None
            else spread(base.second, x)
        )
    return x, spread(base.first, x), second


def _filled(triple: tuple[Any, Any, Any], mode: Mode) -> tuple[Any, Any, Any]:
    x, first, _ = triple
    if first is not None or not has_derivative(x.dtype):
        return triple
    zeros = jnp.zeros((mode.directions, *x.shape), x.dtype)
    return x, zeros, jnp.zeros((mode.slices, *x.shape), x.dtype) if mode.has_second else None


def _like(triple: tuple[Any, Any, Any], before: tuple[Any, Any, Any]) -> Any:
    return tuple(
        part if part is None else jnp.asarray(part, old.dtype)
        for part, old in zip(triple, before, strict=True)
    )


def _ahead(part: Any, i: int) -> Any:
    """What is gone through lies along the first axis; a stack's is the directions'."""
    return part if part is None or i == 0 else jnp.swapaxes(part, 0, 1)


def _back(part: Any, i: int) -> Any:
    return part


def _ahead_one(part: Any, i: int) -> Any:
    return part


def _stacked(part: Any, i: int) -> Any:
    return part if part is None or i == 0 else jnp.swapaxes(part, 0, 1)
