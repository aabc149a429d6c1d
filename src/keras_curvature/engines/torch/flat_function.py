"""A model as a function from one vector to one vector per example, run by PyTorch."""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.programs.flat_function import ProgramFunction
from keras_curvature.engines.programs.flattening import flattened
from keras_curvature.engines.torch.any_batch import for_any_batch
from keras_curvature.engines.torch.tracing import trace
from keras_curvature.typing import Columns, Model, Output, Wrt


class FlatFunction(ProgramFunction):
    """`f(z, rest)`: `z` of shape `(batch, width)` to `(batch, outputs)`."""


def flatten(
    model: Model,
    inputs: Inputs,
    output: Output,
    wrt: Wrt,
    dtype: Any,
    columns: Columns = None,
) -> FlatFunction:
    """Traces `model` and lays its inputs and outputs flat: see `flattened`."""
    wanted = model, inputs, output, wrt, dtype, columns
    kept = for_any_batch(inputs.batch)
    found: FlatFunction = flattened(FlatFunction, trace, kept, *wanted)
    return found
