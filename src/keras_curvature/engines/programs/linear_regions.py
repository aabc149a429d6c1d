"""Where the operations of a piecewise-linear model switch from one piece to another.

The program is run step by step, with account of how each result depends on the input. An operation
that could make it anything but piecewise linear is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.piecewise_linear import (
    Degree,
    degree_after,
    has_linear_pieces,
    refusal,
)
from keras_curvature.engines.programs.activity_analysis import place_of
from keras_curvature.engines.programs.flat_function import ProgramFunction
from keras_curvature.engines.programs.program import Operation, Slot
from keras_curvature.engines.programs.unselected_values import held

running = own_module("running")
interpreter = own_module("interpreter")
operations = own_module("operations")

emit, read = interpreter.emit, interpreter.read


def switches_of(f: ProgramFunction) -> Callable[[Any], list[Any]]:
    """What changes its sign where `f` goes from one linear piece to the next.

    Args:
        f: a function of one array.

    Returns:
        A function of points `(rows, d)`. It gives an array `(rows, units)` for each operation that
        switches, in the order of computation: where the signs before it do not change, each is
        linear in the points. It raises ValueError for an operation that is not known to be
        piecewise linear.
    """
    return running.with_weights_of(f, lambda z: _switches(f, z))


def _switches(f: ProgramFunction, z: Any) -> list[Any]:
    traced = f.traced_at(z, ())
    values, sources = f.feeds(traced, z, ()), f.sources(traced)
    degrees = dict.fromkeys(sources, Degree.LINEAR)
    layers = [place.layer for place in f.activity.active]
    found: list[Any] = []

    def degree(x: Any) -> Degree:
        return degrees.get(x, Degree.CONSTANT) if isinstance(x, Slot) else Degree.CONSTANT

    for instruction in traced.program.needed(traced.outputs, values):
        op, given = instruction.operation, [degree(x) for x in instruction.inputs]
        active = Degree.LINEAR in given
        if active and not _has_linear_pieces(op, given):
            raise refusal(place_of(op, layers))
        inputs = [read(x, values, f.dtype) for x in instruction.inputs]
        outputs = emit(op, held(instruction, inputs, values), f.dtype)
        after = degree_after(traits_of(op.type), max(given, default=Degree.CONSTANT))
        values |= dict(zip(instruction.outputs, outputs, strict=True))
        degrees |= dict.fromkeys(instruction.outputs, after)
        change = traits_of(op.type).switches
        if active and change is not None:
            found += change(*inputs)
    return [xp.reshape(x, (z.shape[0], -1)) for x in found]


def _has_linear_pieces(op: Operation, given: list[Degree]) -> bool:
    if op.type == operations.CAST and not xp.is_floating(op.results[0].dtype):
        return False
    return has_linear_pieces(traits_of(op.type), given)
