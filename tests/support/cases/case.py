"""What a case is: a model, where to evaluate it, and what is known about it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from cases.exclusions import NOT_IN_KERAS_3_7
from cases.points import Draw

_KERAS = tuple(int(part) for part in keras.__version__.split(".")[:2])

SMOOTH_STEP = 1 / 128
"""For functions that bend over a distance of 0.3 or more: an error of 1e-11, see `truth`."""

KINKED_STEP = 1 / 256
"""Looks 0.016 far, less than `Floats` keeps 32 numbers apart; rounding costs 2e-10."""

TAGS: Mapping[str, str] = {
    "branch": "has a `tf.cond` in its graph",
    "closed_form": "has `exact` derivatives",
    "complex": "computes with complex numbers inside",
    "custom_gradient": "has a `tf.custom_gradient`",
    "dropout": "contains what is random in training and must be off",
    "dynamic": "has an axis of unknown length besides the batch",
    "float32_inside": "rounds to float32 whatever its dtype; its `twin` does not",
    "float32_only": "TensorFlow or Keras cannot run it in float64; its `twin` can be",
    "function": "calls another `tf.function`",
    "kinked": "its derivatives jump somewhere, though not at the points of the case",
    "linear": "its second derivative is 0 everywhere",
    "loaded": "was written to a file and read back",
    "loop": "has a `While` in its graph",
    "moments": "contains `tf.nn.moments`, through which TensorFlow is wrong",
    "piecewise_linear": "its second derivative is 0 everywhere but on kinks",
    "several_inputs": "takes a structure of inputs",
    "several_outputs": "gives a structure of outputs",
    "slow": "takes seconds to build or evaluate",
    "stop_gradient": "its derivative is not that of its values: see `exact`",
    "straight_through": "its gradient is not that of its values: see `exact`",
    "truth_from_gradient": "its truth is a difference of TensorFlow's first derivatives",
    "wide": "too many inputs for a whole Hessian from differences",
    "wrt": "is differentiated by something else than all its inputs",
}
"""What cases can be selected by."""


class Exact(NamedTuple):
    """Derivatives in closed form, where `z` is `(n, d)`.

    Attributes:
        gradient: `(n, m, d)`.
        hessian: `(n, m, d, d)`.
    """

    gradient: np.ndarray
    hessian: np.ndarray


@dataclass(frozen=True, eq=False)
class Case:
    """A model, where to evaluate it, and what is known about it.

    Attributes:
        id: `"family/name"`, unique.
        make: builds the model in the dtype that is set at the time.
        x: the structure of `Floats`, `Integers` and `Words` that the model takes.
        covers: what of Keras this is the case of, as `"layers.Dense"`, `"ops.exp"`.
        tags: some of `TAGS`.
        wrt: with respect to what, as for `keras_curvature.hessian`.
        twin: builds the same function of the same weights from other ops, for the truth.
        settle: adjusts the float64 model after its weights were moved.
        exact: from the float64 model and `z` to the derivatives, where they are known.
        step: of the differences, see `truth`; `None` for the usual one.
        order: of the differences.
        examples: in the batch.
        seed: changes the weights and the points.
        note: why the case is there, or is as it is.
    """

    id: str
    make: Callable[[], keras.Model]
    x: Any
    covers: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    wrt: int | str | list[int | str] | None = None
    twin: Callable[[], keras.Model] | None = None
    settle: Callable[[keras.Model], None] | None = None
    exact: Callable[[keras.Model, np.ndarray], Exact] | None = None
    step: float | None = None
    order: int = 8
    examples: int = 2
    seed: int = 0
    note: str = ""

    @property
    def family(self) -> str:
        """The first part of the id."""
        return self.id.partition("/")[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """For the functions of `keras_curvature`."""
        return {} if self.wrt is None else {"wrt": self.wrt}

    @property
    def h(self) -> float:
        """The step of the differences."""
        if self.step is not None:
            return self.step
        return KINKED_STEP if self.tags & {"kinked", "piecewise_linear"} else SMOOTH_STEP

    @property
    def is_flat(self) -> bool:
        """Whether all second derivatives are 0."""
        return bool(self.tags & {"linear", "piecewise_linear"})

    @property
    def number(self) -> int:
        """Seeds whatever is random about this case, whichever other cases there are."""
        return zlib.crc32(f"{self.id}{self.seed}".encode())

    def is_available(self) -> bool:
        """Whether the installed Keras has all that this case is about, and can build it."""
        if _KERAS < (3, 8) and self.id in NOT_IN_KERAS_3_7:
            return False
        return all(_exists(name) for name in self.covers)

    def batch(self, dtype: str = "float64") -> Any:
        """The inputs, the same points in every dtype."""
        rng = np.random.default_rng(self.number)

        def drawn(draw: Draw) -> np.ndarray:
            array = draw.draw(rng, self.examples)
            return array.astype(dtype) if array.dtype.kind == "f" else array

        # In one order on all backends: `map_structure` goes by the alphabet on some of them only.
        return keras.tree.pack_sequence_as(self.x, list(map(drawn, keras.tree.flatten(self.x))))


def _exists(name: str) -> bool:
    module, _, attribute = name.partition(".")
    return hasattr(getattr(keras, module, None), attribute)
