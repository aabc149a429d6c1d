"""A model as a function from one vector to one vector per example, compiled by JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from keras_curvature.engines.inputs import Inputs
from keras_curvature.engines.jax.tracing import trace
from keras_curvature.engines.programs.flat_function import ProgramFunction
from keras_curvature.engines.programs.flattening import flattened, with_examples
from keras_curvature.engines.programs.trace import Trace
from keras_curvature.typing import Columns, Model, Output, Wrt


class FlatFunction(ProgramFunction):
    """`f(z, rest)`: `z` of shape `(batch, width)` to `(batch, outputs)`."""

    @functools.cached_property
    def compiled(self) -> Callable[..., list[Any]]:
        """From its weights, a point and the other inputs to the outputs one by one."""

        @jax.jit
        def call(weights: Sequence[Any], z: Any, rest: Sequence[Any]) -> list[Any]:
            with self.with_weights(weights):
                return self.apart(z, rest)

        return call


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
    found: FlatFunction = flattened(FlatFunction, trace, _kept, *wanted)
    return found


def _kept(traced_with: Callable[..., Trace], specs: Sequence[Any]) -> Callable[[int], Trace]:
    """A trace for each number of examples."""
    return functools.cache(lambda count: traced_with(with_examples(specs, count)))
