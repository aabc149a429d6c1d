"""A model as a function from one vector to one vector per example, run by PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import keras
import torch

from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.programs.flat_function import ProgramFunction
from keras_curvature.engines.programs.flattening import flattened
from keras_curvature.engines.programs.trace import Trace
from keras_curvature.engines.torch.any_batch import Traces
from keras_curvature.engines.torch.dtypes import is_floating
from keras_curvature.engines.torch.operations import is_drawing
from keras_curvature.engines.torch.refusals import DependsOnNumbersError
from keras_curvature.engines.torch.tracing import plain, trace
from keras_curvature.typing import Columns, Model, Output, Wrt


class FlatFunction(ProgramFunction):
    """`f(z, rest)`: `z` of shape `(batch, width)` to `(batch, outputs)`."""

    def traced_at(self, z: Any, rest: Sequence[Any]) -> Trace:
        """What the model does at these points: another thing where it decides otherwise.

        Raises:
            DependsOnNumbersError: where it has to be traced anew, and is differentiated by
                something inside of it.
        """
        traces: Any = self.traced_for
        usual: Trace = traces(z.shape[0])
        if not usual.decisions:
            return usual
        with torch.no_grad():
            for trace in (*traces.decided(z.shape[0]), usual):
                if self._decides_so(trace, z, rest):
                    return trace
            if usual.tap is not None:
                raise DependsOnNumbersError(
                    "The model decides by the numbers of its inputs what it does, and is "
                    "differentiated by something inside of it. Differentiate it by its inputs."
                )
            feeds = self.feeds(usual, z, rest)
            leaves = [
                plain(feeds[slot]).to(usual.program.avals[slot].dtype) for slot in usual.inputs
            ]
            return cast("Trace", traces.at(leaves))

    @functools.cached_property
    def draws(self) -> bool:
        """Whether an output needs random numbers."""
        traced = self.traced_for(self.examples)
        needed = traced.program.needed(traced.outputs, ())
        return any(is_drawing(step.operation.type) for step in needed)

    def _decides_so(self, trace: Trace, z: Any, rest: Sequence[Any]) -> bool:
        """Whether a model would come to the decisions of a trace."""
        slots = [decision.slot for decision in trace.decisions]
        try:
            found = self._run(trace, self.feeds(trace, z, rest), slots)
        except (RuntimeError, IndexError):  # what comes of another branch need not fit
            return False
        pairs = zip(found, trace.decisions, strict=True)
        return all(value.item() == decision.number for value, decision in pairs)


def flatten(
    model: Model,
    inputs: Inputs,
    output: Output,
    wrt: Wrt,
    dtype: Any,
    columns: Columns = None,
) -> FlatFunction:
    """Traces `model` and lays its inputs and outputs flat: see `flattened`."""
    wanted = model, _as_taken(model, inputs), output, wrt, dtype, columns
    kept = functools.partial(Traces, batch=inputs.batch)
    found: FlatFunction = flattened(FlatFunction, trace, kept, *wanted)
    return found


def _as_taken(model: Model, inputs: Inputs) -> Inputs:
    """The inputs in the dtype of the weights of a module of PyTorch, which takes no other."""
    if isinstance(model, keras.Layer) or not isinstance(model, torch.nn.Module):
        return inputs
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    specs = [
        replace(s, dtype=own) if own is not None and is_floating(s.dtype) else s
        for s in inputs.specs
    ]
    return replace(inputs, specs=tuple(specs))
