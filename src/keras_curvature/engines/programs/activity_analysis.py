"""Which operations of a program a derivative passes through, and where it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.activity import CALLING_PYTHON, Activity, Dependence, Place
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.programs.program import Operation, Slot

operations = own_module("operations")


def activity_of(traced: Any, sources: Sequence[Slot], layers: Sequence[str]) -> Activity:
    """What is known of a traced model.

    Args:
        traced: the model.
        sources: the slots that it is differentiated by.
        layers: the names of its layers.
    """
    program = traced.program
    state = dict.fromkeys(sources, Dependence.ACTIVE)
    active: list[Place] = []
    cuts: list[Place] = []
    acting: list[Place] = []
    sizes: list[int] = [_size(program.avals[s]) for s in sources]
    unknown: list[Place] = []
    resists = False
    needed = program.needed(traced.outputs, [*sources])
    ends = (traced.outputs, *(found.inputs for found in needed))
    read = {x for some in ends for x in some if isinstance(x, Slot)}
    for instruction in needed:
        operation = instruction.operation
        found = max(
            (state.get(x, Dependence.NONE) for x in instruction.inputs if isinstance(x, Slot)),
            default=Dependence.NONE,
        )
        if traits_of(operation.type).shapes_only:
            found = Dependence.NONE
        place = place_of(operation, layers)
        if operation.type in CALLING_PYTHON:
            acting.append(place)
        floats = [s for s in instruction.outputs if xp.has_derivative(program.avals[s].dtype)]
        is_end = traits_of(operation.type).ends or not floats
        if found == Dependence.UNKNOWN and is_end:
            found = Dependence.CUT
        if found == Dependence.ACTIVE and not is_end and not operations.has_gradient(operation):
            unknown.append(place)
            found = Dependence.UNKNOWN
        if found == Dependence.ACTIVE:
            if is_end:
                cuts.append(place)
                found = Dependence.CUT
            else:
                active.append(place)
                resists |= operation.type in operations.LOOPS
                active += _within(operation, layers)
                if any(s in read and s not in floats for s in instruction.outputs):
                    cuts.append(place)  # such as the indices that come with a sort
        for slot in instruction.outputs:
            mine = found if slot in floats else min(found, Dependence.CUT)
            state[slot] = mine
        sizes += [_size(program.avals[s]) for s in floats]
    dependence = tuple(
        state.get(y, Dependence.NONE) if isinstance(y, Slot) else Dependence.NONE
        for y in traced.outputs
    )
    return Activity(
        dependence=dependence,
        active=tuple(active),
        cuts=tuple(cuts),
        by_hand=tuple(place for place in active if place.op_type in operations.BY_HAND),
        acting=tuple(acting),
        unknown=tuple(unknown),
        mended=(),
        rankless=(),
        resists_vectorising=resists,
        activations=sum(sizes),
        widest=max(sizes, default=1),
    )


def _within(operation: Operation, layers: Sequence[str]) -> list[Place]:
    """What has words for its shape in the programs of a loop or of branches."""
    found: list[Place] = []
    if operation.type not in operations.LOOPS:
        return found
    for program in operations.programs_in(operation):
        for instruction in program.instructions:
            inner = instruction.operation
            scope = "/".join(filter(None, (operation.name, inner.scope)))
            inner = replace(inner, scope=scope)
            if traits_of(inner.type).curve is not None:
                found.append(place_of(inner, layers))
            found += _within(inner, layers)
    return found


def place_of(operation: Operation, layers: Sequence[str]) -> Place:
    """The operation and the layer that it came from."""
    inside = [part for part in operation.scope.split("/") if part in layers]
    return Place(operation.type, operation.name, inside[-1] if inside else "")


def _size(aval: Any) -> int:
    """Numbers for each example."""
    return math.prod(aval.shape[1:])
