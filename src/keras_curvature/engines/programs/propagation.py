"""Pushes jets through the operations of a program, each by the rule for its type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.programs.program import Instruction, Slot
from keras_curvature.engines.taylor.jets import Jet
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Step, lookup

interpreter = own_module("interpreter")
jvp = own_module("taylor.jvp")

emit, read = interpreter.emit, interpreter.read

Values = dict[Slot, Any]

Active = dict[Slot, Jet]


def step_of(instruction: Instruction, values: Values, dtype: Any) -> Step:
    """An operation as it was run."""
    operation = instruction.operation
    inputs = tuple(read(x, values, dtype) for x in instruction.inputs)
    outputs = tuple(values[slot] for slot in instruction.outputs)
    return Step(
        operation, inputs, outputs, lambda given: emit(operation, given, dtype), dtype, values
    )


def propagate(
    instructions: Iterable[Instruction], values: Values, active: Active, mode: Mode, dtype: Any
) -> None:
    """Adds the jets of all that `instructions` compute from what is in `active`."""
    for instruction in instructions:
        if any(isinstance(x, Slot) and x in active for x in instruction.inputs):
            _advance(instruction, values, active, mode, dtype)


def _advance(
    instruction: Instruction, values: Values, active: Active, mode: Mode, dtype: Any
) -> None:
    if not any(xp.has_derivative(values[slot].dtype) for slot in instruction.outputs):
        return
    jets = [active.get(x) if isinstance(x, Slot) else None for x in instruction.inputs]
    found = of_step(step_of(instruction, values, dtype), jets, mode)
    for slot, jet in zip(instruction.outputs, found, strict=True):
        if jet is not None:
            active[slot] = jet


def of_step(step: Step, jets: Jets, mode: Mode) -> Jets:
    """The jets of one operation's outputs."""
    rule = lookup(step.op.type)
    if rule is None or step.op.is_complex:
        return jvp.propagate(step, jets, mode)
    try:
        return rule.propagate(step, jets, mode)
    except NotImplementedError:  # a use of the primitive that its rule does not cover
        return jvp.propagate(step, jets, mode)


def advance_through(
    instructions: Iterable[Instruction],
    given: Mapping[Slot, Any],
    jets: Mapping[Slot, Jet],
    mode: Mode,
    dtype: Any,
) -> tuple[Values, Active]:
    """Runs instructions and pushes jets through them, one after the other."""
    values, active = dict(given), dict(jets)
    for instruction in instructions:
        inputs = [read(x, values, dtype) for x in instruction.inputs]
        outputs = emit(instruction.operation, inputs, dtype)
        values.update(zip(instruction.outputs, outputs, strict=True))
        if any(isinstance(x, Slot) and x in active for x in instruction.inputs):
            _advance(instruction, values, active, mode, dtype)
    return values, active
