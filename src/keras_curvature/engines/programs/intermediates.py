"""Looks into a traced model while it runs: values of ops, gradients by them, their own slopes.

The gradient by a result is that by what would be added to it: 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from keras_curvature.engines.active_backend import own_module
from keras_curvature.engines.activity import Dependence, Place
from keras_curvature.engines.arrays import xp
from keras_curvature.engines.intermediates import Inside, Result, Watched
from keras_curvature.engines.programs.activity_analysis import activity_of
from keras_curvature.engines.programs.flat_function import ProgramFunction
from keras_curvature.engines.programs.program import Instruction, Operation, Slot
from keras_curvature.engines.programs.structure import active_instructions
from keras_curvature.engines.programs.trace import Trace
from keras_curvature.engines.programs.unselected_values import held
from keras_curvature.typing import Array

first_derivatives = own_module("first_derivatives")
interpreter = own_module("interpreter")
operations = own_module("operations")
running = own_module("running")

emit, read, run_through = interpreter.emit, interpreter.read, interpreter.run_through

Values = dict[Slot, Any]

Key = tuple[str, str, int]
"""An op's type and name, and which of several of these it is."""


def dependence_by_input(f: ProgramFunction) -> list[tuple[Dependence, ...]]:
    """How the outputs depend on each of the arrays in `z`."""
    traced = f.traced_for(f.examples)
    return [activity_of(traced, [slot], ()).dependence for slot in f.sources(traced)]


def watched(f: ProgramFunction, places: Iterable[Place]) -> dict[Place, tuple[Watched, ...]]:
    """The ops at some places that can be looked at: none if only forward mode gets through."""
    traced = f.traced_for(f.examples)
    with_examples = _with_examples(f, traced)
    found: dict[tuple[str, str], list[Watched]] = {}
    for key, instruction in _by_key(f, traced) if first_derivatives.goes_backwards(f) else ():
        operands = _operands(instruction, with_examples)
        if operands:
            found.setdefault(key[:2], []).append(Watched(key, len(operands)))
    return {place: tuple(found.get((place.op_type, place.op_name), ())) for place in places}


def _by_key(f: ProgramFunction, traced: Trace) -> Iterator[tuple[Key, Instruction]]:
    """The active instructions, whose numbers differ with the number of examples."""
    count: Counter[tuple[str, str]] = Counter()
    sources = f.sources(traced)
    needed = traced.program.needed(traced.outputs, sources)
    for instruction in active_instructions(needed, sources, traced.program):
        name = instruction.operation.type, instruction.operation.name
        yield (*name, count[name]), instruction
        count[name] += 1


def _with_examples(f: ProgramFunction, traced: Trace) -> set[Slot]:
    """The slots that hold numbers with a derivative of each example."""
    found = {*traced.inputs, *f.sources(traced)}
    for instruction in traced.program.instructions:
        if not found.isdisjoint(x for x in instruction.inputs if isinstance(x, Slot)):
            found.update(instruction.outputs)
    avals = traced.program.avals
    count = avals[traced.inputs[0]].shape[0]
    return {s for s in found if avals[s].shape[:1] == (count,) and xp.is_floating(avals[s].dtype)}


def _operands(instruction: Instruction, with_examples: set[Slot]) -> list[int]:
    """Which inputs of an op hold the examples and carry a derivative."""
    inputs = enumerate(instruction.inputs)
    return [i for i, x in inputs if isinstance(x, Slot) and x in with_examples]


def inside(
    f: ProgramFunction,
    keys: Sequence[Sequence[Key]],
    z: Any,
    rest: Sequence[Any],
    weights: Array,
) -> list[Inside]:
    """Derivatives around parts of a model.

    Args:
        f: the model.
        keys: of the ops of each part.
        z: points.
        rest: the other inputs.
        weights: of each output, `(m, 1)`: their sum is differentiated.
    """
    traced = f.traced_at(z, rest)
    by_key, with_examples = dict(_by_key(f, traced)), _with_examples(f, traced)
    parts = [[by_key[key] for key in part] for part in keys]
    ends = [
        (part[0].inputs[_operands(part[0], with_examples)[0]], part[-1].outputs[0])
        for part in parts
    ]
    slots = [slot for pair in ends for slot in pair]
    signals, values = _gradients(f, traced, z, rest, slots, xp.constant(weights, z.dtype))
    return [
        Inside(
            signals[into],
            signals[out_of],
            [
                slope
                for instruction in part
                for slope in _slopes(
                    instruction, _operands(instruction, with_examples), values, f.dtype
                )
            ],
        )
        for part, (into, out_of) in zip(parts, ends, strict=True)
    ]


def _gradients(
    f: ProgramFunction,
    traced: Trace,
    z: Any,
    rest: Sequence[Any],
    slots: Iterable[Slot],
    weights: Any,
) -> tuple[dict[Slot, Any], Values]:
    """The gradients of a sum of all outputs by some results, and all results."""
    given = f.feeds(traced, z, rest)
    needed = traced.program.needed(traced.outputs, given)
    avals = traced.program.avals
    zeros = {s: xp.zeros(avals[s].shape, xp.widened(avals[s].dtype, f.dtype)) for s in slots}

    def total(added: Mapping[Slot, Any]) -> tuple[Any, Values]:
        start = {s: x + added[s] if s in added else x for s, x in given.items()}
        values = run_through(needed, start, f.dtype, added)
        found = [xp.cast(read(y, values, f.dtype), z.dtype) for y in traced.outputs]
        return xp.sum(f.outputs.join(found) @ weights), values

    return first_derivatives.gradients_and_more(total, zeros)


def _slopes(
    instruction: Instruction, operands: Sequence[int], values: Values, dtype: Any
) -> Sequence[Any]:
    """The derivatives of an op's output by its operands."""
    inputs = [read(x, values, dtype) for x in instruction.inputs]
    inputs = held(instruction, inputs, values)

    def total(own: Sequence[Any]) -> Any:
        whole = list(inputs)
        for i, x in zip(operands, own, strict=True):
            whole[i] = x
        y = emit(instruction.operation, whole, dtype)[0]
        # Uneven, so that an exchange of two entries, as in sorting, changes the slope.
        size = y.shape[-1] if y.ndim > 1 else 1
        return xp.sum(y * xp.linspace(1.0, 1.5, size, dtype=y.dtype))

    chosen = [inputs[i] for i in operands]
    return first_derivatives.gradients_and_more(lambda own: (total(own), None), chosen)[0]


def results_of(f: ProgramFunction, z: Any, rest: Sequence[Any]) -> list[Result]:
    """What the active ops of a model have given, in their order: of any number of examples."""
    if f.batch is not None:
        return []
    traced = f.traced_at(z, rest)
    places = {(place.op_type, place.op_name): place for place in f.activity.active}
    seen = [
        (places[key[:2]], instruction)
        for key, instruction in _by_key(f, traced)
        if key[:2] in places and xp.is_floating(instruction.operation.results[0].dtype)
    ]
    slots = [instruction.outputs[0] for _, instruction in seen]
    back = first_derivatives.goes_backwards(f)

    def compute(z: Any, rest: Sequence[Any]) -> tuple[Any, list[Any]]:
        ones = xp.ones((f.outputs.width, 1), z.dtype)
        found, values = _gradients(f, traced, z, rest, slots if back else (), ones)
        return [found.get(slot) for slot in slots], [values[slot] for slot in slots]

    gradients, values = running.with_weights_of(f, compute)(z, rest)
    order = {slot: i for i, (_, found) in enumerate(seen) for slot in found.outputs}
    return [
        Result(place, value, gradient, tuple({order[x] for x in instruction.inputs if x in order}))
        for (place, instruction), value, gradient in zip(seen, values, gradients, strict=True)
    ]


def narrow(f: ProgramFunction) -> tuple[Place, ...]:
    """The active ops that compute in a narrower dtype than the model's, and loops with such.

    Casts do not count: Keras makes one of what it hands to a layer, where the layer is called.
    """
    places = {(place.op_type, place.op_name): place for place in f.activity.active}
    steps = _by_key(f, f.traced_for(f.examples))
    found = (places.get(key[:2]) for key, step in steps if _is_narrow(step.operation, f.native))
    return tuple(place for place in dict.fromkeys(found) if place is not None)


def _is_narrow(operation: Operation, native: Any) -> bool:
    floats = [aval.dtype for aval in operation.results if xp.is_floating(aval.dtype)]
    if any(xp.itemsize(dtype) < xp.itemsize(native) for dtype in floats):
        return operation.type != operations.CAST
    inner = (
        step.operation
        for program in operations.programs_in(operation)
        for step in program.instructions
    )
    return any(_is_narrow(step, native) for step in inner)
