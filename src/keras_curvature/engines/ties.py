"""At a tie, all operations of a formula that meet there are taken on one side of it.

Where `a` equals `b`, `|a - b|`, `max(a, b)` and `min(a, b)` have two slopes. Either will do if it
is that of one side for all of them: a smooth function that is written in branches then has its
derivatives. These three are movable. `relu` has slope 0 at 0, as everywhere, and a `where` takes
what its condition says: where such a one is in the formula, the movable ones go by it. Beside none
a tie is one where the first is about to be the larger, and a constant never is the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOVABLE = ("abs", "max", "min")
BELOW = ("leaky_relu", "relu")
"""What is at 0 as it is below it."""

COMPARISONS = {"ge": 1, "gt": -1, "le": -1, "lt": 1}
"""Which is about to be the larger where what is compared is equal: 1 for the first, -1."""

REPEATED = ("add", "div", "mul", "neg", "sub")
"""What is the same number if it is computed twice."""

Number = int | float | None
"""The number of a result, a constant as a float, or nothing that is known."""

End = tuple[Number, Number, int]
"""What is clipped, an end, and whether it is as above the end where it equals it: 1, or -1."""

Side = tuple[bool, float]
"""One side of a tie: whether it is a constant, and that or the number of a result."""


@dataclass(frozen=True)
class Operation:
    """What is looked at of an operation.

    Attributes:
        type: as it is called here, or nothing that is known here.
        inputs: what it is given.
        output: the number of its result.
        ends: at which it clips.
    """

    type: str
    inputs: tuple[Number, ...] = ()
    output: int | None = None
    ends: tuple[End, ...] = ()


class _Tie(NamedTuple):
    """The sides of a tie, and 1 if the first is about to be the larger, or else -1."""

    sides: tuple[Side, Side]
    first: int


def on_the_other_side(operations: Sequence[Operation]) -> list[bool]:
    """Which operations are to be taken on the other side of their tie than they are by themselves.

    By itself `abs` is as above 0, `max` its first and `min` its second argument.
    """
    found = _ties_of(operations)
    fixed: dict[tuple[Side, Side], set[int]] = defaultdict(set)
    movable: dict[tuple[Side, Side], int] = {}
    for operation, ties in zip(operations, found, strict=True):
        for tie in ties:
            if operation.type in MOVABLE:
                movable.setdefault(tie.sides, tie.first)
            else:
                fixed[tie.sides].add(tie.first)
    turned = []
    for operation, ties in zip(operations, found, strict=True):
        moved = False
        if operation.type in MOVABLE and ties:
            ((sides, first),) = ties
            moved = (fixed[sides] or {movable[sides]}) == {-first}
        turned.append(moved != _has_constant_first(operation))
    return turned


def _has_constant_first(operation: Operation) -> bool:
    if operation.type not in ("max", "min"):
        return False
    a, b = operation.inputs
    return isinstance(a, float) and not isinstance(b, float)


def _ties_of(operations: Sequence[Operation]) -> list[list[_Tie]]:
    """The ties of each operation, with the side that it takes by itself."""
    writers: dict[int, Operation] = {}
    known: dict[tuple[object, ...], int] = {}
    same: dict[int, int] = {}
    found = []
    for operation in operations:
        inputs = tuple(_known(x, same) for x in operation.inputs)
        ends = tuple((_known(x, same), end, first) for x, end, first in operation.ends)
        if operation.output is not None:
            writers[operation.output] = Operation(operation.type, inputs, operation.output)
            if operation.type == "cast" and isinstance(inputs[0], int):
                same[operation.output] = inputs[0]
            if operation.type in REPEATED and None not in inputs:
                key = (operation.type, *((type(x), x) for x in inputs))
                same[operation.output] = known.setdefault(key, operation.output)
        found.append(_ties(operation.type, inputs, ends, writers))
    return found


def _known(x: Number, same: Mapping[int, int]) -> Number:
    return same.get(x, x) if isinstance(x, int) else x


def _ties(
    kind: str, inputs: Sequence[Number], ends: Sequence[End], writers: Mapping[int, Operation]
) -> list[_Tie]:
    """The ties of an operation on some inputs."""
    if kind in COMPARISONS:
        met = [(inputs[0], inputs[1], COMPARISONS[kind])]
    elif kind in ("max", "min"):
        a, b = inputs
        met = [(b, a, 1) if isinstance(a, float) else (a, b, 1)]
    elif kind == "abs" or kind in BELOW:
        met = [(inputs[0], 0.0, 1 if kind == "abs" else -1)]
    else:
        met = list(ends)
    ties = (_between(a, b, first, writers) for a, b, first in met)
    return [tie for tie in ties if tie is not None]


def _between(a: Number, b: Number, first: int, writers: Mapping[int, Operation]) -> _Tie | None:
    """The tie of two numbers; that of a difference and 0 is one of what is subtracted."""
    if a is None or b is None or (isinstance(a, float) and isinstance(b, float)):
        return None
    if isinstance(a, float):
        return _between(b, a, -first, writers)
    writer = writers.get(a) if b == 0 and isinstance(b, float) else None
    if writer is not None and writer.type == "neg":
        return _between(writer.inputs[0], 0.0, -first, writers)
    if writer is not None and writer.type == "sub":
        return _between(writer.inputs[0], writer.inputs[1], first, writers)
    one, other = (isinstance(a, float), a), (isinstance(b, float), b)
    return _Tie((one, other), first) if one <= other else _Tie((other, one), -first)
