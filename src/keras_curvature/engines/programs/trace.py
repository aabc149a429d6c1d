"""One call of a model in inference mode, as a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.columns import Subset
from keras_curvature.engines.programs.program import Program, Slot

SOME = 2
"""How many examples a model is looked at with."""


@dataclass(frozen=True, eq=False)
class Trace:
    """One call of a model on so many examples.

    Attributes:
        program: what it does.
        weights: the slots of the variables that it reads.
        variables: these.
        inputs: those of the flattened inputs, and of the masks behind them.
        tap: that of what was asked for inside of the program, or `None`.
        outputs: slots, or constants, one for each of the model's outputs.
        structure: of the outputs.
        subset: the columns that are tapped, where they are not all.
        constants: arrays that the model holds besides its variables.
        decisions: what the model went by when it was traced, and may be otherwise at other points.
    """

    program: Program
    weights: tuple[Slot, ...]
    variables: tuple[Any, ...]
    inputs: tuple[Slot, ...]
    tap: Slot | None
    outputs: tuple[Any, ...]
    structure: Any
    subset: Subset | None
    constants: tuple[Any, ...]
    decisions: tuple[Any, ...] = ()

    def aval(self, source: Any) -> Any:
        """Shape and dtype of a slot or of a constant."""
        return self.program.avals[source] if isinstance(source, Slot) else xp.constant(source)
