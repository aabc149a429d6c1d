"""Loops, branches and compiled functions: jets go in and come out beside the values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_curvature.engines.taylor.jets import Base, Jet, sizes, spread
from keras_curvature.engines.taylor.modes import Mode
from keras_curvature.engines.taylor.registry import Jets, Rule, Step, never
from keras_curvature.engines.tensorflow.graph_ops import (
    Body,
    functions_of,
    known_bound,
    static_value,
    taken,
)
from keras_curvature.engines.tensorflow.taylor.propagation import propagate
from keras_curvature.engines.tensorflow.taylor.rules.tensor_lists import zero_list
from keras_curvature.engines.tensorflow.taylor.tape import ActiveJets, OpTape


@dataclass(frozen=True)
class _Presence:
    """Which tensors of a list have first, and which have second derivatives."""

    first: frozenset[int]
    second: frozenset[int]

    @classmethod
    def of(cls, jets: Jets) -> _Presence:
        return cls(
            frozenset(i for i, jet in enumerate(jets) if jet is not None),
            frozenset(i for i, jet in enumerate(jets) if jet and jet.base.second is not None),
        )

    def __or__(self, other: _Presence) -> _Presence:
        return _Presence(self.first | other.first, self.second | other.second)

    def pack(self, values: Sequence[Any], jets: Jets, mode: Mode) -> list[Any]:
        """Values and stacks in one list; where a stack is missing, zeros."""
        bases = [None if jet is None else jet.base for jet in jets]
        firsts = [
            _stack(None if (base := bases[i]) is None else base.first, values[i], mode.directions)
            for i in sorted(self.first)
        ]
        seconds = [
            _stack(None if (base := bases[i]) is None else base.second, values[i], mode.slices)
            for i in sorted(self.second)
        ]
        return [*values, *firsts, *seconds]

    def unpack(self, packed: Sequence[Any], count: int) -> tuple[list[Any], list[Jet | None]]:
        """Values and jets from such a list."""
        values, stacks = list(packed[:count]), iter(packed[count:])
        firsts = {i: next(stacks) for i in sorted(self.first)}
        seconds = {i: next(stacks) for i in sorted(self.second)}
        jets = [
            Jet(value, Base(firsts[i], seconds.get(i))) if i in firsts else None
            for i, value in enumerate(values)
        ]
        return values, jets

    def shapes(self, shapes: Sequence[tf.TensorShape], mode: Mode) -> list[tf.TensorShape]:
        """The shapes of what `pack` gives; lists of tensors are scalars."""
        firsts = [_stack_shape(shapes[i], mode.directions) for i in sorted(self.first)]
        seconds = [_stack_shape(shapes[i], mode.slices) for i in sorted(self.second)]
        return [*shapes, *firsts, *seconds]


def _stack_shape(shape: tf.TensorShape, count: int) -> tf.TensorShape:
    return shape if shape.rank is None or shape.rank == 0 else tf.TensorShape([count, *shape])


def _stack(stack: tf.Tensor | None, value: tf.Tensor, count: int) -> tf.Tensor:
    if value.dtype == tf.variant:
        return zero_list(value, count) if stack is None else stack
    if stack is None:
        return tf.zeros([count, *sizes(value)], value.dtype)
    return spread(stack, value)


def _enter(
    step: Step, body: Body, values: Sequence[Any], jets: Jets, first: int, mode: Mode
) -> tuple[list[Any], list[Jet | None]]:
    """Runs a function's graph on values and jets, which stand for the op's inputs from `first`."""
    op_tape = OpTape(step.interpreter.dtype, step.interpreter.variables)
    outputs = op_tape.enter(body, values, list(step.op.inputs)[first:])
    active = ActiveJets(jet for jet in jets if jet is not None)
    propagate(op_tape.steps, active, mode)
    found = [active.of(output) for output in outputs]
    return outputs, [None if jet is None else mode.settle(jet) for jet in found]


def _settled(jets: Jets, mode: Mode) -> list[Jet | None]:
    """Worked out before another graph begins, which must not leave its tensors in them."""
    return [None if jet is None else mode.settle(jet) for jet in jets]


def _presence(function: Callable[[], Jets]) -> _Presence:
    """What has derivatives in the result of a function, without running it."""
    found: list[_Presence] = []

    def call() -> None:
        found.append(_Presence.of(function()))

    tf.function(call, autograph=False).get_concrete_function()
    return found[-1]


def _loop(step: Step, jets: Jets, mode: Mode) -> Jets:
    op = step.op
    condition, body = functions_of(op)
    carried = [i for i, out in enumerate(body.outputs) if out is not body.inputs[i]]
    jets = _settled(jets, mode)

    def everything(some: Sequence[Any], of: Sequence[Any]) -> list[Any]:
        full = list(of)
        for i, value in zip(carried, some, strict=True):
            full[i] = value
        return full

    def turn(values: Sequence[Any], mine: Jets) -> tuple[list[Any], list[Jet | None]]:
        outputs, found = _enter(
            step, body, everything(values, step.inputs), everything(mine, jets), 0, mode
        )
        return [outputs[i] for i in carried], [found[i] for i in carried]

    start = [step.inputs[i] for i in carried]
    known = [jets[i] for i in carried]
    shapes = [body.outputs[i].shape for i in carried]
    present = _lasting_presence(turn, start, known, shapes, mode)
    results = tf.while_loop(
        lambda *state: step.interpreter.enter(
            condition, everything(state[: len(carried)], step.inputs), op.inputs
        )[0],
        lambda *state: present.pack(*turn(*present.unpack(state, len(carried))), mode),
        present.pack(start, known, mode),
        shape_invariants=present.shapes(shapes, mode),
        parallel_iterations=op.get_attr("parallel_iterations"),
        maximum_iterations=known_bound(op.inputs[1]),
    )
    _, found = present.unpack(results, len(carried))
    return _with_values(step.outputs, everything(found, jets))


Turn = Callable[[Sequence[Any], Jets], tuple[list[Any], list[Jet | None]]]
"""From values and jets before a turn of a loop to those after it."""


def _lasting_presence(
    turn: Turn,
    start: Sequence[Any],
    known: Jets,
    shapes: Sequence[tf.TensorShape],
    mode: Mode,
) -> _Presence:
    """What has derivatives before the first turn or after any."""

    def after(present: _Presence) -> Jets:
        like = zip(present.pack(start, known, mode), present.shapes(shapes, mode), strict=True)
        anything = [tf.raw_ops.Placeholder(dtype=old.dtype, shape=shape) for old, shape in like]
        return turn(*present.unpack(anything, len(start)))[1]

    present = _Presence.of(known)
    while True:  # it only grows, so this ends
        grown = present | _presence(functools.partial(after, present))
        if grown == present:
            return present
        present = grown


def _with_values(values: Sequence[tf.Tensor], jets: Jets) -> Jets:
    return [jet and Jet(value, jet.base) for value, jet in zip(values, jets, strict=True)]


def _branches(step: Step, jets: Jets, mode: Mode) -> Jets:
    bodies = functions_of(step.op)
    values, jets = step.inputs[1:], _settled(jets, mode)[1:]
    known = static_value(step.inputs[0])
    if known is not None:
        body = bodies[taken(step.op, known, len(bodies))]
        return _with_values(step.outputs, _enter(step, body, values, jets, 1, mode)[1])

    def result(body: Body) -> Jets:
        return _enter(step, body, values, jets, 1, mode)[1]

    present = _Presence(frozenset(), frozenset())
    for body in bodies:
        present |= _presence(functools.partial(result, body))

    def branch(body: Body) -> Callable[[], list[Any]]:
        return lambda: present.pack(*_enter(step, body, values, jets, 1, mode), mode)

    index = tf.cast(step.inputs[0], tf.int32)
    packed = tf.switch_case(index, [branch(body) for body in bodies])
    return _with_values(step.outputs, present.unpack(packed, len(step.outputs))[1])


def _compiled(step: Step, jets: Jets, mode: Mode) -> Jets:
    """A function that XLA must compile, with its jets."""
    (function,) = functions_of(step.op)
    jets = _settled(jets, mode)
    found: list[_Presence] = []

    def body() -> list[Any]:
        outputs, results = _enter(step, function, step.inputs, jets, 0, mode)
        found.append(_Presence.of(results))
        return found[-1].pack(outputs, results, mode)

    packed = tf.function(body, autograph=False, jit_compile=True)()
    packed = list(packed) if isinstance(packed, (list, tuple)) else [packed]
    return _with_values(step.outputs, found[-1].unpack(packed, len(step.outputs))[1])


def loop() -> Rule:
    """`While`: the body carries the stacks beside its values."""
    return Rule(_loop, keeps_batch=never)


def branches() -> Rule:
    """`If` and `Case`."""
    return Rule(_branches, keeps_batch=never)


def compiled() -> Rule:
    """A call of a function with `jit_compile=True`; all others are entered."""
    return Rule(_compiled, keeps_batch=never)
