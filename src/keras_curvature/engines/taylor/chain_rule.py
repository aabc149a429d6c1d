"""The chain rule for elementwise functions of elementwise functions.

It is applied to numbers of the tensor's own size, not to stacks: what a normalisation does to
its input, its mean and its variance is three slopes and a few bends.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_curvature.engines.arrays import xp
from keras_curvature.engines.taylor.jets import Base, Composite, Jet, Pair, plus, times
from keras_curvature.typing import Tensor

MOST_BASES = 4
"""Bases up to which a function is composed: two of a normalisation, and what joins them."""


@dataclass(frozen=True, eq=False)
class Argument:
    """How an elementwise op depends on one of its inputs: `slope` times the input's jet."""

    jet: Jet
    slope: Tensor | None


Bends = Mapping[Pair, Tensor]


def compose(
    value: Tensor, arguments: Sequence[Argument], bends: Bends
) -> tuple[Composite, Bends] | None:
    """An op's result as a function of what its arguments are functions of.

    Args:
        value: the result.
        arguments: the inputs that depend on the point.
        bends: the op's second derivatives by a pair of arguments, `i <= j`; others are 0.

    Returns:
        The function, with the second derivatives that it inherits, and those that the op
        itself adds, by a pair of bases; `None` where settling the arguments is cheaper.
    """
    bases = list({id(b): b for a in arguments for b in a.jet.composite.bases}.values())
    if not _is_worth_it(value, arguments, bases):
        return None
    inner = [_slopes(argument.jet, bases) for argument in arguments]
    parts = [
        {p: times(argument.slope, slope) for p, slope in slopes.items()}
        for argument, slopes in zip(arguments, inner, strict=True)
    ]
    slopes = [
        _total([part[p] for part in parts if p in part], value.dtype) for p in range(len(bases))
    ]
    inherited: dict[Pair, Tensor] = {}
    for argument in arguments:
        composite = argument.jet.composite
        place = [_index(bases, base) for base in composite.bases]
        for (i, j), bend in composite.bends.items():
            _add(inherited, (place[i], place[j]), times(argument.slope, bend))
    return Composite(tuple(bases), tuple(slopes), inherited), _own(inner, bends)


def added(one: Bends, other: Bends) -> Bends:
    """The sums of second derivatives."""
    total = dict(one)
    for pair, bend in other.items():
        _add(total, pair, bend)
    return total


def _is_worth_it(value: Tensor, arguments: Sequence[Argument], bases: Sequence[Base]) -> bool:
    """Whether the bases have at most one among them of the result's own size."""
    shape = list(value.shape)
    if len(bases) == 1 and all(list(a.jet.value.shape) == shape for a in arguments):
        return True
    if len(bases) > MOST_BASES or None in shape[1:]:
        return False
    if any(list(a.jet.value.shape)[:1] != shape[:1] for a in arguments):
        return False
    if any(a.jet.value.ndim != len(shape) for a in arguments):
        return False
    wide = sum(list(base.first.shape[2:]) == shape[1:] for base in bases)
    return wide <= 1 and len(shape) > 1


def _index(bases: Sequence[Base], base: Base) -> int:
    return next(i for i, other in enumerate(bases) if other is base)


def _slopes(jet: Jet, bases: Sequence[Base]) -> dict[int, Tensor | None]:
    """The derivatives of an argument by its bases."""
    function = jet.composite
    return {
        _index(bases, base): slope
        for base, slope in zip(function.bases, function.slopes, strict=True)
    }


def _total(slopes: Sequence[Tensor | None], dtype: Any) -> Tensor | None:
    if len(slopes) == 1:
        return slopes[0]
    one = xp.ones([], dtype)
    return functools.reduce(plus, [one if slope is None else slope for slope in slopes])


def _own(inner: Sequence[Mapping[int, Tensor | None]], bends: Bends) -> Bends:
    """`Σ h_ij (Σ s_iP P') (Σ s_jQ Q')` of arguments `i, j` and bases `P, Q`, pair by pair."""
    found: dict[Pair, Tensor] = {}
    for (i, j), bend in bends.items():
        for p, left in inner[i].items():
            for q, right in inner[j].items():
                slopes = times(left, right)
                # A bend may be infinite where nothing depends on the point, as that of
                # `relu(x) ** 1.5` is below 0.
                term = bend if slopes is None else xp.multiply_no_nan(bend, slopes)
                if i == j and p > q:
                    continue  # met as (q, p): the sum has both, which count once as a pair
                _add(found, (p, q), 2 * term if i != j and p == q else term)
    return found


def _add(bends: dict[Pair, Tensor], pair: Pair, bend: Tensor | None) -> None:
    i, j = sorted(pair)
    total = plus(bends.get((i, j)), bend)
    assert total is not None
    bends[i, j] = total
