"""What a model can be cut into: functions of its input up to each layer, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_curvature.engines.backend import callables_of
from keras_curvature.typing import Array, Model
from keras_curvature.verification.black_box import BlackBox, black_box, of_keras

MOST_PIECES = 100
"""Layers that are looked at: each is traced."""


def pieces(box: BlackBox) -> list[tuple[str, Model]]:
    """Functions of the model's input up to each layer; none of what cannot be cut."""
    if isinstance(box.model, keras.Layer):
        return list(_up_to_each(box.model))[:MOST_PIECES]
    return [] if box.given is None else callables_of(box.given).parts(box.model)[:MOST_PIECES]


def piece_of(box: BlackBox, part: Model, x: Array) -> BlackBox:
    """A piece as it is called."""
    as_keras = isinstance(box.model, keras.Layer)
    return (of_keras if as_keras else black_box)(part, x.astype(box.dtype), None, box.rows)


def _up_to_each(model: Any) -> Iterator[tuple[str, Model]]:
    """By the names of the layers; inside of a model in the model by a path."""
    parts: Any = getattr(model, "operations", None) or getattr(model, "layers", ())
    for part in parts:
        try:
            inputs, outputs = (keras.tree.flatten(t) for t in (part.input, part.output))
        except (AttributeError, ValueError):  # called more than once, or never
            continue
        if isinstance(part, keras.Model) and len(inputs) == 1:
            before = keras.Model(model.inputs, inputs[0])
            for name, inside in _up_to_each(part):
                yield f"{part.name}/{name}", _after(before, inside)
        for output in outputs:
            yield f"{part.name} ({type(part).__name__})", keras.Model(model.inputs, output)


def _after(before: keras.Model, inside: Model) -> Callable[[Any], Any]:
    def composed(t: Any) -> Any:
        t = before(t, training=False)
        return inside(t, training=False) if isinstance(inside, keras.Layer) else inside(t)

    return composed
