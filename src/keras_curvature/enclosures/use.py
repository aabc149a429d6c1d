"""An op where a model uses it, and how ops take on enclosures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_curvature.enclosures.jet import JetBounds, Pairs
from keras_curvature.engines.api import ComputedStep, xp
from keras_curvature.typing import Array

Apply = Callable[[Sequence[JetBounds], Pairs], Sequence[JetBounds]]
"""From the enclosures of what depends on the point, in order, to those of the results."""


@dataclass(frozen=True, eq=False)
class Use:
    """An op where it is used.

    Attributes:
        step: the op as it was run on one example.
        active: the places of the inputs that depend on the point.
    """

    step: ComputedStep
    active: tuple[int, ...]

    @property
    def type(self) -> str:
        """In lower case."""
        return str(self.step.op.type).lower()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first result."""
        return tuple(self.step.outputs[0].shape) if self.step.outputs else ()

    def constant(self, index: int) -> Array:
        """An input that does not depend on the point."""
        if index < len(self.step.inputs):
            return as_numbers(self.step.inputs[index])
        other = self.param("other", None)  # a number that PyTorch has for no input
        if other is None:
            raise NotImplementedError("lacks an input")
        return as_numbers(other)

    def number(self, index: int, default: float | None = None) -> float:
        """An input that is one number everywhere.

        Raises:
            NotImplementedError: where it is not.
        """
        given = self.step.inputs[index] if index < len(self.step.inputs) else None
        if given is None and default is not None:
            return default
        found = None if index in self.active or given is None else as_numbers(given).ravel()
        if found is None or not found.size or (found != found[0]).any():
            raise NotImplementedError("takes a number there that is not the same everywhere")
        return float(found[0])

    def param(self, name: str, default: Any) -> Any:
        """A parameter of the op, or an attribute."""
        params = getattr(self.step.op, "params", None)
        if params is not None:
            return params.get(name, default)
        try:
            return self.step.op.get_attr(name)
        except ValueError:
            return default

    def run(self, *flat: Array) -> Array:
        """The results, flat, where the inputs that depend on the point are other numbers."""
        inputs = list(self.step.inputs)
        for i, numbers in zip(self.active, flat, strict=True):
            x = inputs[i]
            inputs[i] = xp.cast(xp.constant(numbers.reshape(tuple(x.shape))), x.dtype)
        return np.concatenate([as_numbers(y).ravel() for y in self.step.again(inputs)])


def is_condition(dtype: Any) -> bool:
    """Whether a dtype is that of truth values."""
    return xp.is_numeric(dtype) and not (xp.is_floating(dtype) or xp.is_integer(dtype))


def as_numbers(tensor: Any) -> Array:
    """In float64."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)


Rule = Callable[[Use], Apply]
