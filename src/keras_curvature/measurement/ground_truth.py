"""What the user knows of the function: its values and second derivatives at the probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_curvature.engines.api import OF_A_CLASSIFIER, labels_are_classes, xp
from keras_curvature.engines.backend import FlatFunction
from keras_curvature.measurement.probe import Probe
from keras_curvature.typing import Array, Model, Output

Y = "The probe's `y`"

UNFITTED = (
    "No fit, R²: the probe's `y` names classes or signs, and is no value of what is watched "
    "(`output='loss'` takes labels)."
)


def targets(probe: Probe, output: Output, f: FlatFunction, model: Model) -> list[Array | None]:
    """Known values `(n, m)` for each output.

    `None` where the probe has no `y`, or where that names classes and says nothing of the output's
    values: a coefficient of determination would mean nothing.

    Args:
        probe: the points.
        output: which one was asked for.
        f: the model's function.
        model: itself, for the loss that it was compiled with.

    Raises:
        ValueError: if the values do not fit the model's output.
    """
    if probe.y is None or _names_classes(probe.y, output):
        return [None] * len(f.outputs.shapes)
    loss = getattr(model, "loss", None)
    given = _at_output(probe.y, output, f)
    _require_count(given, f, Y)
    found: list[Array | None] = []
    for i, y in enumerate(given):
        shape, size = f.outputs.shapes[i], f.outputs.sizes[i]
        if labels_are_classes(_loss_of(loss, output, f, i)):
            found.append(None)
            continue
        if isinstance(output, int) and np.ndim(y) > 1 and np.size(y) != probe.size * size:
            y = _of_all(y, model)[..., output]
        elif isinstance(output, int) and size == 1 and xp.to_numpy(y).dtype.kind in "iu":
            found.append(None)  # the score of one class against the number of another
            continue
        found.append(_fitted(y, (probe.size, *shape), (size,), Y))
    return found


def references(probe: Probe, reference: Any, f: FlatFunction) -> list[Array | None]:
    """Known second derivatives `(n, m, d)` for each output.

    Args:
        probe: the points.
        reference: in the structure of `hessian_diagonal`, by name where the model has dicts;
            functions of `x` in the place of it or of any part; or `None`.
        f: the model.

    Raises:
        ValueError: if they do not fit.
    """
    if reference is None:
        return [None] * len(f.outputs.shapes)
    what = "`reference`"
    given = known_at(probe.x, reference)
    count = len(f.outputs.shapes)
    if count == 1:
        alone = isinstance(given, Mapping) and len(given) == 1
        by_output = alone and len(f.inputs.shapes) > 1 and set(given).isdisjoint(f.inputs.names)
        parts = list(given.values()) if by_output else [given]
    else:
        parts = _by_output(given, f, what)
    _require_count(parts, f, what)
    return [
        _along_inputs(part, (probe.size, *shape), size, f)
        for part, shape, size in zip(parts, f.outputs.shapes, f.outputs.sizes, strict=True)
    ]


def known_at(x: Any, reference: Any) -> Any:
    """What is known at points: what functions give of them, alone or inside of dicts and lists."""
    if callable(reference):
        return reference(x)
    if isinstance(reference, Mapping):
        return {name: known_at(x, part) for name, part in reference.items()}
    if isinstance(reference, (list, tuple)) and any(map(callable, reference)):
        return [known_at(x, part) for part in reference]
    return reference


def _names_classes(y: Any, output: Output) -> bool:
    """Whether it is a classifier's largest score that `y` is set against."""
    own = isinstance(y, Mapping) and output in y  # an output of the model that has this name
    return isinstance(output, str) and output in OF_A_CLASSIFIER and not own


def _at_output(given: Any, output: Output, f: FlatFunction) -> list[Any]:
    """What is given for each of the outputs, of all of which one may have been chosen."""
    several = isinstance(given, (Mapping, list, tuple)) and len(given) > 1
    if isinstance(output, str) and isinstance(given, Mapping):
        if output not in given:
            raise ValueError(
                f"{Y} as a dict must have an entry for the output {output!r}. Received: "
                f"{sorted(map(str, given))}."
            )
        return [given[output]]
    if isinstance(output, int) and several and not isinstance(given, Mapping):
        return [given[output]]
    if len(f.outputs.shapes) == 1 and several:
        return list(given.values() if isinstance(given, Mapping) else given)
    return _by_output(given, f, Y)


def _by_output(given: Any, f: FlatFunction, what: str) -> list[Any]:
    """What is given for each of several outputs."""
    names, listed = f.outputs.names, isinstance(given, (list, tuple))
    try:
        if isinstance(given, Mapping):
            return f.outputs.by_name(given, what)
        if f.outputs.ordered and listed and len(given) == len(names):
            return list(given)
        return f.outputs.in_order(given, what)
    except ValueError as error:
        raise ValueError(f"{error} For one output alone watch it: `output={names[0]!r}`.") from None


def _of_all(y: Any, model: Model) -> Any:
    """Known values of all outputs on the last axis, of which one is chosen."""
    declared = getattr(model, "outputs", None) or []
    if len(declared) == 1 and np.shape(y)[-1] != (width := declared[0].shape[-1]):
        raise ValueError(
            f"{Y} must hold the output that is watched, or all {width} on its last axis. "
            f"Received: {np.shape(y)}."
        )
    return y


def _loss_of(loss: Any, output: Output, f: FlatFunction, i: int) -> Any:
    """The one of the compiled losses that is of this output, `None` where that is not known."""
    if isinstance(loss, Mapping):
        alone = next(iter(loss.values())) if len(loss) == 1 else None
        return loss.get(output if isinstance(output, str) else f.output_names[i], alone)
    if isinstance(loss, (list, tuple)):
        index = output if isinstance(output, int) else i
        known = (output is None or isinstance(output, int)) and -len(loss) <= index < len(loss)
        return loss[index] if known else None
    return loss


def _along_inputs(given: Any, shape: tuple[int, ...], size: int, f: FlatFunction) -> Array:
    """Known second derivatives of an output `(n, m, d)`, inputs side by side."""
    what, inputs = "`reference`", f.inputs
    alone = len(inputs.shapes) == 1
    if isinstance(given, Mapping | list | tuple) or not inputs.ordered:
        parts = inputs.in_order(given, what) if not alone or isinstance(given, Mapping) else [given]
        if len(parts) == len(inputs.shapes):
            return np.concatenate(
                [
                    _fitted(part, (*shape, *own), (size, width), what)
                    for part, own, width in zip(parts, inputs.shapes, inputs.sizes, strict=True)
                ],
                axis=2,
            )
    tail = inputs.shapes[0] if alone else (inputs.width,)
    return _fitted(given, (*shape, *tail), (size, inputs.width), what)


def _require_count(parts: list[Any], f: FlatFunction, what: str) -> None:
    names, shapes = f.outputs.names, [("n", *shape) for shape in f.outputs.shapes]
    if len(parts) == len(names):
        return
    must, do = f"must have shape {shapes[0]}", "Of several outputs give a dict by name."
    if len(names) > 1:
        named = dict(zip(names, shapes, strict=True))
        must = f"must have an array for each output, {named}"
        do = f"For one alone watch it: `output={names[0]!r}`."
    raise ValueError(f"{what} {must}. Received: {[np.shape(part) for part in parts]}. {do}")


def _fitted(given: Any, wanted: tuple[int, ...], flat: tuple[int, ...], what: str) -> Array:
    """An array `(n, *flat)`; axes of length 1 may be missing."""
    try:  # A copy: the user's own array may change during the training.
        array = np.array(xp.to_numpy(given), dtype=np.float64)
    except (TypeError, ValueError) as error:
        functions = "" if what == Y else ", or a function of x that gives them"
        raise ValueError(
            f"{what} must be numbers of shape {wanted}{functions}. Received: "
            f"{type(given).__name__}, of which NumPy says: {error}"
        ) from error
    if _without_ones(array.shape) != _without_ones(wanted):
        classes = (
            " Of classes by their numbers leave `y` out, or watch `output='loss'`."
            if what == Y and array.size == wanted[0]
            else ""
        )
        raise ValueError(f"{what} must have shape {wanted}. Received: {array.shape}.{classes}")
    unknown = np.argwhere(~np.isfinite(array))
    if unknown.size:
        raise ValueError(
            f"{what} must be finite numbers. Received: {array[tuple(unknown[0])]} at index "
            f"{tuple(unknown[0].tolist())}. Leave points without one out of the probe."
        )
    return array.reshape(wanted[0], *flat)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
