"""What a program computes on one example, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_curvature.engines.computed_steps import Computed, ComputedStep
from keras_curvature.engines.programs.activity_analysis import place_of
from keras_curvature.engines.programs.flat_function import ProgramFunction
from keras_curvature.engines.programs.program import Slot
from keras_curvature.engines.programs.propagation import step_of
from keras_curvature.engines.programs.recorded_model import record


def computed_steps(
    f: ProgramFunction, z: Any, rest: Sequence[Any], layers: Sequence[str]
) -> Computed:
    """What `f` does at `z`, one row.

    Args:
        f: the model.
        z: where.
        rest: what is given besides.
        layers: the names of its layers.
    """
    recorded = record(f, z, rest)
    steps = []
    for instruction in recorded.needed:
        step = step_of(instruction, recorded.values, f.dtype)
        steps.append(
            ComputedStep(
                step.op,
                tuple(x if isinstance(x, Slot) else None for x in instruction.inputs),
                tuple(step.inputs),
                instruction.outputs,
                tuple(step.outputs),
                step.again,
                place_of(instruction.operation, layers),
            )
        )
    results = tuple(recorded.traced.outputs)
    values = tuple(recorded.values[y] if isinstance(y, Slot) else y for y in results)
    return Computed(tuple(steps), recorded.sources, results, values)
