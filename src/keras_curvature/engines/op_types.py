"""What is known of the types of ops, whoever asks: how they depend on their inputs, their words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SMOOTH, BENT = "smooth", "smooth between kinks"
LINEAR, QUADRATIC = "piecewise linear", "piecewise quadratic"

EVERY_INPUT = range(sys.maxsize)


@dataclass(frozen=True)
class Curve:
    """What a function of one number looks like.

    Attributes:
        word: what it is called.
        instead: what to take in its place for a second derivative at every point.
        form: `SMOOTH` (its slope never jumps), or what it is between its kinks.
    """

    word: str
    instead: str = ""
    form: str = LINEAR

    @property
    def kinked(self) -> bool:
        """Whether its slope jumps."""
        return self.form != SMOOTH


Switches = Callable[..., Sequence[Any]]
"""From an op's inputs to what changes its sign where the op goes from one piece to the next."""


def itself(x: Any) -> list[Any]:
    """Of an op that switches where its input is 0."""
    return [x]


def difference(x: Any, y: Any) -> list[Any]:
    """Of an op that switches where its inputs are the same."""
    return [x - y]


def elsewhere(*inputs: Any) -> list[Any]:
    """Of an op whose pieces another op chooses, which switches itself."""
    return []


@dataclass(frozen=True)
class Traits:
    """What is known of the ops of one type.

    Attributes:
        linear_in: the inputs in which they are linear, all together; on each piece if they have
            several.
        is_multilinear: whether they are linear in each input alone.
        is_piecewise: whether they have several pieces.
        is_pointwise: whether each entry of the result depends on the same entries of the inputs.
        ends: whether no derivative passes: they are piecewise constant, or meant to end it.
        shapes_only: whether they look at the shape of their inputs and not at the values.
        vectorises: whether `tf.vectorized_map` gives the right second derivative. It is silently
            wrong for some and fails for many, so only what is tested is trusted to it.
        switches: where they go from one piece to the next; `None` where that cannot be told.
        curve: what they look like, and are called; `None` for what needs no words.
    """

    linear_in: Sequence[int] = ()
    is_multilinear: bool = False
    is_piecewise: bool = False
    is_pointwise: bool = False
    ends: bool = False
    shapes_only: bool = False
    vectorises: bool = False
    switches: Switches | None = None
    curve: Curve | None = None

    def is_linear_in(self, active: Sequence[int]) -> bool:
        """Whether they are linear, on each piece, in these inputs together."""
        alone = self.is_multilinear and len(active) == 1
        return alone or all(i in self.linear_in for i in active)

    @property
    def kinked(self) -> bool:
        """Whether their slope jumps, of themselves."""
        return self.curve is not None and self.curve.kinked and self.switches is not elsewhere


UNKNOWN = Traits()

OWN: dict[str, Traits] = {}
"""What this library knows of op types: no rule of a user changes it."""

GIVEN: dict[str, Traits] = {}
"""What the rules that were registered say."""


def traits_of(op_type: str) -> Traits:
    """What is known of the ops of a type."""
    return OWN.get(op_type) or GIVEN.get(op_type, UNKNOWN)


BRANCHING = {"Case", "If", "StatelessCase", "StatelessIf"}
"""Ops that may take another branch at the next point."""


def may_kink(op_type: str) -> bool:
    """Whether the slope may jump through an op: by a branch, or for all that is known."""
    traits = traits_of(op_type)
    if traits is UNKNOWN or traits.ends or op_type in BRANCHING:
        return True
    return traits.curve is not None and traits.curve.kinked
