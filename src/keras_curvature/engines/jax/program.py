"""A traced model as a flat list of steps: calls are entered, slots have numbers.

A jaxpr that is called twice has the same variables twice; here each result has a slot of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from keras_curvature.engines.jax.arrays import is_real

ENTERED = {
    "custom_jvp_call of what it does": "call_jaxpr",
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "jit": "jaxpr",
    "remat2": "jaxpr",
}
"""Calls that mean what their program does, and the parameter that holds it."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One primitive with its parameters.

    Attributes:
        type: the primitive's name, or that of a function with a derivative of its own.
        primitive: what is bound.
        params: its parameters.
        scope: the names of the layers that it is in, with slashes between.
        number: its place in the program.
        avals: shape and dtype of what it reads.
        results: the same of what it writes.
    """

    type: str
    primitive: Any
    params: dict[str, Any]
    scope: str
    number: int
    avals: tuple[Any, ...]
    results: tuple[Any, ...]

    @property
    def is_complex(self) -> bool:
        """Whether complex numbers are in it, of which formulas of real ones need not hold."""
        dtypes = [getattr(aval, "dtype", bool) for aval in (*self.avals, *self.results)]
        return not all(map(is_real, dtypes))

    @property
    def name(self) -> str:
        """As it stands in messages."""
        return f"{self.scope}/{self.type}" if self.scope else self.type


@dataclass(frozen=True, order=True)
class Slot:
    """Where a result lies."""

    number: int


@dataclass(frozen=True, eq=False)
class Instruction:
    """An operation with the slots that it reads and writes; a constant stands for itself."""

    operation: Operation
    inputs: tuple[Any, ...]
    outputs: tuple[Slot, ...]


@dataclass(frozen=True, eq=False)
class Program:
    """A flat program.

    Attributes:
        arguments: the slots of what it is given.
        results: slots, or constants.
        avals: shape and dtype by slot.
        instructions: in order.
    """

    arguments: tuple[Slot, ...]
    results: tuple[Any, ...]
    avals: dict[Slot, Any]
    instructions: tuple[Instruction, ...]

    def needed(self, fetches: Iterable[Any], given: Iterable[Slot]) -> list[Instruction]:
        """The instructions that `fetches` take where `given` are known, in order."""
        known, wanted, found = set(given), {f for f in fetches if isinstance(f, Slot)}, []
        for instruction in reversed(self.instructions):
            written = [s for s in instruction.outputs if s in wanted and s not in known]
            if written:
                found.append(instruction)
                wanted |= {s for s in instruction.inputs if isinstance(s, Slot)}
        return found[::-1]


WRITTEN_OUT = {"_softmax"}
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


class _Flattening:
    def __init__(self) -> None:
        self.avals: dict[Slot, Any] = {}
        self.instructions: list[Instruction] = []

    def slot(self, aval: Any) -> Slot:
        slot = Slot(len(self.avals))
        self.avals[slot] = aval
        return slot

    def enter(
        self, jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], scope: str
    ) -> list[Any]:
        env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        env |= dict(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns:
            inputs = [v.val if isinstance(v, Literal) else env[v] for v in eqn.invars]
            own = str(eqn.source_info.name_stack)
            where = "/".join(part for part in (scope, own) if part)
            name = _type(eqn)
            if name in ENTERED:
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
                )
                self.instructions.append(Instruction(operation, tuple(inputs), tuple(found)))
            env |= dict(zip(eqn.outvars, found, strict=True))
        return [v.val if isinstance(v, Literal) else env[v] for v in jaxpr.outvars]


def flattened(closed: ClosedJaxpr) -> Program:
    """A jaxpr without calls."""
    flattening = _Flattening()
    arguments = tuple(flattening.slot(v.aval) for v in closed.jaxpr.invars)
    results = flattening.enter(closed.jaxpr, closed.consts, arguments, "")
    return Program(arguments, tuple(results), flattening.avals, tuple(flattening.instructions))
