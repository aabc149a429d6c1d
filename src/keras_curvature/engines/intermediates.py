"""What is seen of the ops inside of a model while it runs: whichever backend traced it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from keras_curvature.engines.activity import Place
from keras_curvature.typing import Tensor


@dataclass(frozen=True)
class Watched:
    """An op that can be looked at: in the traced model itself, not in a loop or function.

    Attributes:
        key: finds it in any trace of the model.
        operands: how many of its inputs hold the examples and carry a derivative.
    """

    key: Hashable
    operands: int


@dataclass(frozen=True)
class Inside:
    """Derivatives around a part of a model, its ops one after the other.

    Attributes:
        into: of the output with respect to what the part is given.
        out_of: with respect to what it gives.
        slopes: of its ops, by each of their operands, whatever follows.
    """

    into: Tensor
    out_of: Tensor
    slopes: Sequence[Tensor]


@dataclass(frozen=True)
class Result:
    """What an op has given.

    Attributes:
        place: the op.
        value: its first result.
        gradient: of the outputs by it, `None` where they do not depend on it.
        before: which results it was computed from, by their place among all.
    """

    place: Place
    value: Tensor
    gradient: Tensor | None
    before: tuple[int, ...]
