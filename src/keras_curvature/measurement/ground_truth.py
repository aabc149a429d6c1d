"""What the user knows of the function: its values and second derivatives at the probe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_curvature.engines.backend import FlatFunction
from keras_curvature.measurement.probe import Probe
from keras_curvature.typing import Array, Output


def targets(probe: Probe, output: Output, f: FlatFunction) -> list[Array | None]:
    """Known values `(n, m)` for each output, `None` where the probe has no `y`.

    Raises:
        ValueError: if the values do not fit the model's output.
    """
    if probe.y is None:
        return [None] * len(f.outputs.shapes)
    y = probe.y
    whole = np.ndim(y) > 1 and np.size(y) != probe.size * f.outputs.width
    if isinstance(output, int) and whole:
        y = y[..., output]
    wanted = [(probe.size, *shape) for shape in f.outputs.shapes]
    return _fitted(y, wanted, [(size,) for size in f.outputs.sizes], "The probe's `y`")


def references(probe: Probe, reference: Any, f: FlatFunction) -> list[Array | None]:
    """Known second derivatives `(n, m, d)` for each output.

    Args:
        probe: the points.
        reference: arrays like `hessian_diagonal`, a function of `x` that gives them, or
            `None`.
        f: the model.

    Raises:
        ValueError: if they do not fit.
    """
    if reference is None:
        return [None] * len(f.outputs.shapes)
    given = reference(probe.x) if callable(reference) else reference
    tail = f.inputs.shapes[0] if len(f.inputs.shapes) == 1 else (f.inputs.width,)
    wanted = [(probe.size, *shape, *tail) for shape in f.outputs.shapes]
    flat = [(size, f.inputs.width) for size in f.outputs.sizes]
    return _fitted(given, wanted, flat, "`reference`")


def _fitted(
    given: Any, wanted: Sequence[tuple[int, ...]], flat: Sequence[tuple[int, ...]], what: str
) -> list[Array | None]:
    """One array `(n, *flat)` per output; axes of length 1 may be missing."""
    # A copy: the user's own array may change during the training.
    leaves = [np.array(leaf, dtype=np.float64) for leaf in keras.tree.flatten(given)]
    received = [leaf.shape for leaf in leaves]
    fits = len(leaves) == len(wanted) and all(
        _without_ones(leaf.shape) == _without_ones(shape)
        for leaf, shape in zip(leaves, wanted, strict=True)
    )
    if not fits:
        raise ValueError(f"{what} must have shape {wanted}, one per output. Received: {received}.")
    return [
        leaf.reshape(shape[0], *rest)
        for leaf, shape, rest in zip(leaves, wanted, flat, strict=True)
    ]


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
