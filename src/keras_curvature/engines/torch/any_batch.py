"""One program for any number of examples, from two traces with few.

Where the traces differ by a number, it is one that goes with the number of examples.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from keras_curvature.engines.programs.program import Instruction, Operation, Program, Slot
from keras_curvature.engines.programs.trace import Trace
from keras_curvature.engines.torch.calls import Aval, Call, Written

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


def for_any_batch(batch: int | None) -> Callable[..., Callable[[int], Trace]]:
    """From what traces for one number of examples to what does so for any, and keeps it.

    Args:
        batch: how many examples the model takes, if its maker has said so.
    """

    def kept(traced_for: Callable[[int], Trace]) -> Callable[[int], Trace]:
        @functools.cache
        def general() -> tuple[Trace, Trace] | None:
            few, more = traced_for(FEW), traced_for(MORE)
            try:
                return few, _joined(few, more)
            except OfSoManyExamplesError:
                return None

        @functools.lru_cache(KEPT)
        def for_count(count: int) -> Trace:
            found = None if batch else general()
            if found is None:
                return traced_for(count)
            few, joined = found
            return few if count == FEW else _at(joined, count)

        return for_count

    return kept


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
    if isinstance(a, Program):
        return replace(
            a,
            results=_both(a.results, b.results),
            avals=_both(a.avals, b.avals),
            instructions=_both(a.instructions, b.instructions),
        )
    if isinstance(a, (Instruction, Operation, Call, Written, Aval)):
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
    return replace(
        joined, program=replace(program, avals=avals, instructions=instructions)
    )


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


