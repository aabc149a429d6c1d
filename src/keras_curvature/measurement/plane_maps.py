"""Functions of the user's over the plane of two inputs: the residual of an equation, an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_curvature.engines.api import xp
from keras_curvature.measurement.base import Measurer
from keras_curvature.measurement.probe import whole_input
from keras_curvature.measurement.slices import central
from keras_curvature.typing import Array

SIDE = 32
"""Places along each of the two inputs."""

MOST_MAPS = 8
"""Each takes four KiB of a log at every step."""

MOST_HELD = 4
"""Inputs of which it is said where they are held."""

Maps = Mapping[str, Callable[[Any], Any] | tuple[Callable[[Any], Any], Sequence[str | int]]]
"""`maps=`: by name a function of `x`, alone or with the two inputs that it is drawn over."""


@dataclass(frozen=True)
class PlaneMap:
    """A function over the plane of two inputs, all others held.

    Attributes:
        name: of the function.
        inputs: names of the two.
        axes: where the places lie along each, over its range in the probe, shape `(2, SIDE)`.
        held: where the other inputs are held, in words; empty where there are none.
        values: at each place, shape `(SIDE, SIDE)`, the first input along the second axis.
    """

    name: str
    inputs: tuple[str, str]
    axes: Array
    held: str
    values: Array


class PlaneMaps:
    """What of the user's functions is known before they are evaluated."""

    def __init__(self, asked: Maps | None, measurer: Measurer, names: Sequence[str]) -> None:
        """Settles the planes.

        Args:
            asked: `maps=` of the monitor.
            measurer: of the model.
            names: of all numbers of the model's input, whichever of them it is differentiated by.

        Raises:
            TypeError: for what is no dict of functions.
            ValueError: for too many, for an unknown input, and for inputs that are no real numbers.
        """
        if isinstance(asked, Mapping) and asked:
            _require_real(measurer)
        self._whole = whole_input(measurer.bound)
        self._functions, self._planes = _parted({} if asked is None else asked, names)
        self._names, self._measurer = names, measurer

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._functions)

    def evaluate(self) -> tuple[PlaneMap, ...]:
        """What the functions give now.

        Raises:
            RuntimeError: for a function that fails, by its name.
            ValueError: for a function that does not give one number for each example.
        """
        if not self:
            return ()
        z = self._points()
        centre = z[central([z])]
        low, high = z.min(axis=0), z.max(axis=0)
        found = []
        for (name, function), plane in zip(self._functions.items(), self._planes, strict=True):
            axes = np.stack([np.linspace(low[i], high[i], SIDE) for i in plane])
            points = np.tile(centre, (SIDE**2, 1))
            points[:, plane] = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
            try:
                result = function(self._structured(points))
            except Exception as error:
                raise RuntimeError(
                    f"The function {name!r} in `maps` failed: {type(error).__name__}: {error}"
                ) from error
            values = _numbers(result, name)
            first, second = (self._names[i] for i in plane)
            held = _held(self._names, centre, plane)
            found.append(PlaneMap(name, (first, second), axes, held, values))
        return tuple(found)

    def _leaves(self) -> list[Array]:
        """The probe's arrays, without masks and labels."""
        leaves = self._measurer.bound.inputs.leaves[: len(self._whole.shapes)]
        return [xp.to_numpy(leaf) for leaf in leaves]

    def _points(self) -> Array:
        """The probe's whole input, `(n, d)`."""
        flat = [leaf.reshape(len(leaf), -1).astype(np.float64) for leaf in self._leaves()]
        return np.concatenate(flat, axis=1)

    def _structured(self, points: Array) -> Any:
        """Points `(n, d)` as the model takes them."""
        parts = np.split(points, np.cumsum(self._whole.sizes)[:-1], axis=1)
        leaves = [
            part.reshape(-1, *leaf.shape[1:]).astype(leaf.dtype)
            for part, leaf in zip(parts, self._leaves(), strict=True)
        ]
        return self._whole.pack(leaves)


def _parted(
    asked: Maps, names: Sequence[str]
) -> tuple[dict[str, Callable[[Any], Any]], list[list[int]]]:
    """The functions by their names, and the indexes of the two inputs of each."""
    expected = (
        "`maps` must be a dict of functions of x by name, alone or with the two inputs to draw "
        "each over: {'residual': residual} or {'residual': (residual, ('t', 'x'))}."
    )
    if not isinstance(asked, Mapping):
        raise TypeError(f"{expected} Received: {asked!r}.")
    if len(asked) > MOST_MAPS:
        raise ValueError(f"`maps` must hold at most {MOST_MAPS}. Received: {len(asked)}.")
    functions, planes = {}, []
    for name, given in asked.items():
        function, inputs = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        if not callable(function):
            raise TypeError(f"{expected} Received: {name!r}: {given!r}.")
        functions[str(name)] = function
        planes.append(_plane(str(name), inputs, names))
    return functions, planes


def _plane(name: str, inputs: Any, names: Sequence[str]) -> list[int]:
    """The indexes of the two inputs of a map."""
    known = list(names) if len(names) <= 20 else [*names[:20], "…"]
    if inputs is None:
        if len(names) == 2:
            return [0, 1]
        raise ValueError(
            f"`maps` must say over which two of the {len(names)} inputs {known} to draw {name!r}: "
            f"maps={{{name!r}: (function, ({names[0]!r}, {names[1]!r}))}}."
            if len(names) > 2
            else "`maps` needs a model of two inputs or more. Received: one input."
        )
    two = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    found = [names.index(i) if isinstance(i, str) and i in names else i for i in two]
    sound = all(isinstance(i, int) and 0 <= i < len(names) for i in found)
    if not sound or len(found) != 2 or found[0] == found[1]:
        raise ValueError(
            f"`maps` must name two different inputs of {known} for {name!r}, or their indexes. "
            f"Received: {inputs!r}."
        )
    return found


def _require_real(measurer: Measurer) -> None:
    f, inputs = measurer.f, measurer.bound.inputs
    leaves = inputs.leaves[: len(inputs.names)]
    if f.layer is not None and not all(xp.is_floating(leaf.dtype) for leaf in leaves):
        raise ValueError(
            "`maps` are of functions of the model's whole input, over real numbers. Received: a "
            f"model of {xp.name_of(leaves[0].dtype)}, by a layer's output. Leave out `maps`."
        )


def _numbers(result: Any, name: str) -> Array:
    """One number for each place."""
    values = xp.to_numpy(result, np.float64)
    if values.size != SIDE**2 or values.shape[:1] != (SIDE**2,):
        raise ValueError(
            f"A function in `maps` must give one number for each of its examples: for {name!r} "
            f"shape ({SIDE**2},) or ({SIDE**2}, 1). Received: {values.shape}."
        )
    return values.reshape(SIDE, SIDE)


def _held(names: Sequence[str], centre: Array, plane: list[int]) -> str:
    others = [i for i in range(len(names)) if i not in plane]
    if not others:
        return ""
    if len(others) > MOST_HELD:
        return "the other inputs held at a central probe point"
    return ", ".join(f"{names[i]} = {centre[i]:.4g}" for i in others)
