"""What is known of a model before it is differentiated: active ops, cuts, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

CALLING_PYTHON = {"EagerPyFunc", "PyFunc", "PyFuncStateless", "io_callback", "pure_callback"}
"""Ops that call back into Python, which may do anything."""


MEANT = {"StopGradient", "stop_gradient"}
"""Ops that end a derivative because somebody has asked for it."""


class Dependence(IntEnum):
    """How a tensor depends on the input that is differentiated."""

    NONE = 0
    CUT = 1
    """It depends on it, but no derivative passes."""
    ACTIVE = 2
    UNKNOWN = 3
    """It depends on it through an op of which the backend has no derivative."""


@dataclass(frozen=True)
class Place:
    """An op, and the Keras layer that it came from.

    Attributes:
        op_type: as in `tf.Operation.type`.
        op_name: in the graph.
        layer: its name, or `""`.
        by: the input of the op that is meant, or `""` for all.
    """

    op_type: str
    op_name: str
    layer: str
    by: str = ""

    def __str__(self) -> str:
        """As it stands in messages."""
        by = f" with respect to {self.by}" if self.by else ""
        where = f"layer {self.layer!r}" if self.layer else f"the op {self.op_name!r}"
        return f"{self.op_type}{by} in {where}"


@dataclass(frozen=True)
class Activity:
    """What is known about a model before it is differentiated.

    Attributes:
        dependence: of each output on the input.
        active: ops through which a derivative passes, in order.
        cuts: ops at which the derivative ends, though the value goes on.
        by_hand: ops whose derivative the model's author has written.
        acting: ops that cannot give what the outputs need without doing something else.
        unknown: ops that the backend cannot differentiate even once, by an input that is active.
        mended: ops whose second derivative TensorFlow itself gets wrong or lacks.
        rankless: ops through which a derivative passes and whose result may have any rank.
        resists_vectorising: whether there are loops, branches or functions for XLA.
        activations: numbers that one example needs in all intermediate results together.
        widest: numbers that it needs in the largest of them.
    """

    dependence: tuple[Dependence, ...]
    active: tuple[Place, ...]
    cuts: tuple[Place, ...]
    by_hand: tuple[Place, ...]
    acting: tuple[Place, ...]
    unknown: tuple[Place, ...]
    mended: tuple[Place, ...]
    rankless: tuple[Place, ...]
    resists_vectorising: bool
    activations: int
    widest: int


class NotDifferentiableError(ValueError):
    """The output has no derivative.

    Attributes:
        places: the ops that are in the way.
    """

    def __init__(self, message: str, places: Sequence[Place]) -> None:
        super().__init__(message)
        self.places = tuple(places)
