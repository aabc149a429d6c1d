"""One program for any number of examples, from two traces with few.

Where the traces differ by a number, it is one that goes with the number of examples.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from keras_curvature.engines.programs.flattening import with_examples
from keras_curvature.engines.programs.program import Instruction, Operation, Program, Slot
from keras_curvature.engines.programs.trace import Trace
from keras_curvature.engines.torch.calls import Aval, Call, Hole, Written
from keras_curvature.engines.torch.compilation import REFUSALS
from keras_curvature.engines.torch.memory import Geometry, Memory
from keras_curvature.engines.torch.recorder import Decision

FEW, MORE = 2, 3
"""Examples of the two traces; one example would be broadcast where more are not."""

KEPT = 32
"""Numbers of examples for which a program is kept."""


class OfSoManyExamplesError(Exception):
    """The model does something else with another number of examples."""


@dataclass(frozen=True)
class Counting:
    """A whole number that goes with the number of examples: `slope * n + offset`."""

    slope: int
    offset: int


class Traces:
    """A model's traces, by numbers of examples."""

    def __init__(
        self, traced_with: Callable[..., Trace], specs: Sequence[Any], batch: int | None
    ) -> None:
        """Makes them as they are asked for.

        Args:
            traced_with: traces the model, with specs or with tensors.
            specs: of its inputs.
            batch: how many examples the model takes, if its maker has said so.
        """
        self._traced_with = traced_with
        self._specs = specs
        self._batch = batch
        self._joined: Trace | None = None
        self._tried = False
        self._kept: OrderedDict[int, Trace] = OrderedDict()
        self._decided: dict[int, list[Trace]] = {}

    def __call__(self, count: int) -> Trace:
        """What the model does with so many examples, at numbers that are made up."""
        if count in self._kept:
            self._kept.move_to_end(count)
            return self._kept[count]
        joined = self._for_any()
        found = self._for(count) if joined is None else _at(joined, count)
        self._kept[count] = found
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    def decided(self, count: int) -> list[Trace]:
        """What the model did with so many examples where it came to other decisions."""
        return self._decided.setdefault(count, [])

    def at(self, leaves: Sequence[torch.Tensor]) -> Trace:
        """What the model does with these numbers; kept."""
        found = self._traced_with(list(leaves))
        known = self.decided(leaves[0].shape[0])
        known.insert(0, found)
        del known[KEPT:]
        return found

    def _for(self, count: int) -> Trace:
        return self._traced_with(with_examples(self._specs, count))

    def _for_any(self) -> Trace | None:
        if not self._tried and not self._batch:
            # A model that does not take these may take as many as there are, or say why not.
            with contextlib.suppress(OfSoManyExamplesError, *REFUSALS):
                few, more = self._for(FEW), self._for(MORE)
                self._joined = _joined(_pruned(few), _pruned(more))
        self._tried = True
        return self._joined


def _pruned(trace: Trace) -> Trace:
    """The trace without what nothing comes of: a loss divided by the number of examples, say."""
    tap = () if trace.tap is None else (trace.tap,)
    fetches = (*trace.outputs, *tap, *(decision.slot for decision in trace.decisions))
    needed = trace.program.needed(fetches, ())
    return replace(trace, program=replace(trace.program, instructions=tuple(needed)))


JOINED = (Instruction, Operation, Call, Written, Memory, Geometry, Aval, Decision)


def _joined(few: Trace, more: Trace) -> Trace:
    """The first trace, with `Counting` where the second has another number."""
    variables = zip(few.variables, more.variables, strict=False)
    same = len(few.variables) == len(more.variables) and all(a is b for a, b in variables)
    if not same or few.inputs != more.inputs or few.weights != more.weights:
        raise OfSoManyExamplesError
    return replace(
        few,
        program=_both(few.program, more.program),
        outputs=_both(few.outputs, more.outputs),
        decisions=_both(few.decisions, more.decisions),
    )


def _both(a: Any, b: Any) -> Any:
    if type(a) is not type(b):
        raise OfSoManyExamplesError
    if isinstance(a, torch.Tensor):
        if not _equal(a, b):
            raise OfSoManyExamplesError
        return a
    if isinstance(a, Slot) or a is b:
        return _same(a, b)
    if isinstance(a, Hole):
        return _same(a, b)
    if isinstance(a, Program):
        return replace(
            a,
            results=_both(a.results, b.results),
            avals=_avals_of_both(a, b),
            instructions=_both(a.instructions, b.instructions),
        )
    if isinstance(a, JOINED):
        parts = {f.name: _both(getattr(a, f.name), getattr(b, f.name)) for f in _compared(a)}
        return replace(a, **parts)
    if isinstance(a, (tuple, list)):
        if len(a) != len(b):
            raise OfSoManyExamplesError
        return type(a)(_both(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping):
        if a.keys() != b.keys():
            raise OfSoManyExamplesError
        return {key: _both(value, b[key]) for key, value in a.items()}
    if type(a) is int and a != b:
        slope = (b - a) // (MORE - FEW)
        return Counting(slope, a - slope * FEW)
    return _same(a, b)


def _avals_of_both(a: Program, b: Program) -> dict[Slot, Any]:
    """Of what is read or written: the numbers of other slots may differ."""
    slots = {*a.arguments, *(slot for step in a.instructions for slot in step.outputs)}
    return {slot: _both(a.avals[slot], b.avals[slot]) for slot in slots}


def _compared(a: Any) -> Sequence[Any]:
    return [f for f in fields(a) if f.init and not f.name.startswith("_")]


def _same(a: Any, b: Any) -> Any:
    if a is b or a == b or (a != a and b != b):
        return a
    raise OfSoManyExamplesError


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a is b:
        return True
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)))


def _at(joined: Trace, count: int) -> Trace:
    """The trace for so many examples."""
    program = joined.program
    avals = {slot: _with(aval, count) for slot, aval in program.avals.items()}
    instructions = tuple(_with(found, count) for found in program.instructions)
    return replace(joined, program=replace(program, avals=avals, instructions=instructions))


def _with(value: Any, count: int) -> Any:
    """A value with numbers where `Counting` stands; itself where there is none."""
    if isinstance(value, Counting):
        return value.slope * count + value.offset
    if isinstance(value, (tuple, list)):
        found = [_with(x, count) for x in value]
        unchanged = all(x is y for x, y in zip(found, value, strict=True))
        return value if unchanged else type(value)(found)
    if isinstance(value, dict):
        parts = {key: _with(x, count) for key, x in value.items()}
        return value if all(parts[key] is x for key, x in value.items()) else parts
    if is_dataclass(value) and not isinstance(value, (type, Slot)):
        changed = {
            f.name: found
            for f in _compared(value)
            if (found := _with(own := getattr(value, f.name), count)) is not own
        }
        if isinstance(value, Call) and changed:
            changed["_wide"] = {}
        return replace(value, **changed) if changed else value
    return value
