"""From a jaxpr to a flat program.

A jaxpr that is called twice has the same variables twice; here each result has a slot of its own.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from keras_curvature.engines.jax.less_largest import rewritten
from keras_curvature.engines.programs.program import Instruction, Operation, Program, Slot
from keras_curvature.engines.programs.ties import on_one_side
from keras_curvature.engines.programs.unselected_values import with_guards

ENTERED = {
    "custom_jvp_call of what it does": "call_jaxpr",
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "jit": "jaxpr",
    "remat2": "jaxpr",
}
"""Calls that mean what their program does, and the parameter that holds it."""

WRITTEN_OUT = {"_i0", "_softmax"}
"""Functions of JAX with a derivative of their own, which is that of what they do."""


def _type(eqn: Any) -> str:
    """The primitive's name, or that of a function of JAX's with a derivative of its own."""
    name = str(eqn.primitive.name)
    if name != "custom_jvp_call":
        return name
    about = eqn.params["call_jaxpr"].jaxpr.debug_info
    if "jax/_src/" not in about.func_src_info.replace("\\", "/"):
        return name
    return WRITTEN if about.func_name in WRITTEN_OUT else str(about.func_name)


WRITTEN = "custom_jvp_call of what it does"


SHIFTING = {"_logsumexp", "_softmax_deprecated", "log_softmax", "logsumexp"}
"""Functions of JAX that hold a maximum while they subtract it."""


def _is_shift(eqn: Any) -> bool:
    if eqn.primitive.name != "stop_gradient" or eqn.source_info.traceback is None:
        return False
    return any(
        frame.function_name in SHIFTING and "jax/_src/" in frame.file_name.replace("\\", "/")
        for frame in eqn.source_info.traceback.frames
    )


def _transposed_first(params: Mapping[str, Any], x: Any) -> Any:
    return lax.reshape(lax.transpose(x, params["dimensions"]), params["new_sizes"])


def _stacked(params: Mapping[str, Any], *parts: Any) -> Any:
    axis = params["axis"]
    return lax.concatenate([lax.expand_dims(x, (axis,)) for x in parts], axis)


def _split(params: Mapping[str, Any], x: Any) -> list[Any]:
    ends = np.cumsum([0, *params["sizes"]]).tolist()
    return [lax.slice_in_dim(x, *pair, axis=params["axis"]) for pair in itertools.pairwise(ends)]


def _unstacked(params: Mapping[str, Any], x: Any) -> list[Any]:
    return [lax.index_in_dim(x, i, params["axis"], False) for i in range(x.shape[params["axis"]])]


def _tiled(params: Mapping[str, Any], x: Any) -> Any:
    pairs = list(zip(params["reps"], x.shape, strict=True))
    both = [size for pair in pairs for size in pair]
    spread = lax.broadcast_in_dim(x, both, range(1, 2 * x.ndim, 2))
    return lax.reshape(spread, [times * size for times, size in pairs])


IN_OTHER_WORDS: dict[str, Callable[..., Any]] = {
    "reshape": _transposed_first,
    "split": _split,
    "stack": _stacked,
    "tile": _tiled,
    "unstack": _unstacked,
}
"""Moves that are others together, which have rules."""


def _constant(literal: Literal) -> Any:
    """Its number; a whole one in its dtype, as a number of Python it would take another one."""
    dtype = literal.aval.dtype
    inexact = jnp.issubdtype(dtype, np.inexact)
    return literal.val if inexact else np.asarray(literal.val, dtype)


def _is_several(eqn: Any) -> bool:
    return eqn.primitive.name != "reshape" or eqn.params["dimensions"] is not None


class _Flattening:
    def __init__(self) -> None:
        self.avals: dict[Slot, Any] = {}
        self.instructions: list[Instruction] = []

    def slot(self, aval: Any) -> Slot:
        slot = Slot(len(self.avals))
        self.avals[slot] = aval
        return slot

    def negated(self, instruction: Instruction) -> Instruction:
        """The negative of what an operation on one number is given."""
        operation, (x,) = instruction.operation, instruction.inputs
        changed = replace(operation, type="neg", primitive=lax.neg_p, params={})
        changed = replace(changed, results=operation.avals)
        return Instruction(changed, (x,), (self.slot(operation.avals[0]),))

    def enter(
        self, jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], scope: str
    ) -> list[Any]:
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        env |= dict(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns:
            inputs = [_constant(v) if isinstance(v, Literal) else env[v] for v in eqn.invars]
            own = str(eqn.source_info.name_stack)
            where = "/".join(part for part in (scope, own) if part)
            name = _type(eqn)
            if name == "scatter" and eqn.params["update_jaxpr"] is not None:
                raise ValueError(
                    "The model calls `x.at[places].apply(f)`, of which JAX has no derivative. "
                    "Write `x.at[places].set(f(x[places]))`."
                )
            if name in IN_OTHER_WORDS and _is_several(eqn):
                function = functools.partial(IN_OTHER_WORDS[name], eqn.params)
                closed = jax.make_jaxpr(function)(*(v.aval for v in eqn.invars))
                found = self.enter(closed.jaxpr, closed.consts, inputs, where)
            elif name in ENTERED:
                inner = eqn.params[ENTERED[name]]
                closed = isinstance(inner, ClosedJaxpr)
                found = self.enter(
                    inner.jaxpr if closed else inner, inner.consts if closed else (), inputs, where
                )
            else:
                found = [self.slot(v.aval) for v in eqn.outvars]
                operation = Operation(
                    name,
                    eqn.primitive,
                    eqn.params,
                    where,
                    len(self.instructions),
                    tuple(v.aval for v in eqn.invars),
                    tuple(v.aval for v in eqn.outvars),
                    _is_shift(eqn),
                )
                self.instructions.append(Instruction(operation, tuple(inputs), tuple(found)))
            env |= dict(zip(eqn.outvars, found, strict=True))
        return [_constant(v) if isinstance(v, Literal) else env[v] for v in jaxpr.outvars]


def flattened(closed: ClosedJaxpr) -> Program:
    """A jaxpr without calls."""
    flattening = _Flattening()
    arguments = tuple(flattening.slot(v.aval) for v in closed.jaxpr.invars)
    results = flattening.enter(closed.jaxpr, closed.consts, arguments, "")
    instructions = on_one_side(rewritten(flattening.instructions), flattening.negated)
    read = {x for found in instructions for x in found.inputs if isinstance(x, Slot)}
    read.update(y for y in results if isinstance(y, Slot))
    instructions = [_of_eigenvalues(found, read) for found in instructions]
    instructions = with_guards(instructions, results)
    return Program(arguments, tuple(results), flattening.avals, tuple(instructions))


def programs_in(operation: Operation) -> Iterator[Program]:
    """What an operation runs itself: the body of a loop, branches."""
    for value in operation.params.values():
        for closed in value if isinstance(value, tuple) else (value,):
            if isinstance(closed, ClosedJaxpr):
                yield flattened(closed)


def _of_eigenvalues(instruction: Instruction, read: Collection[Slot]) -> Instruction:
    """JAX derives no eigenvectors unasked, whose length and phase are anybody's choice.

    Eigenvalues do not depend on it.
    """
    operation = instruction.operation
    if operation.type != "eig" or any(slot in read for slot in instruction.outputs[1:]):
        return instruction
    params = {**operation.params, "enable_eigvec_derivs": True}
    return replace(instruction, operation=replace(operation, params=params))
