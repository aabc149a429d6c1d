"""What of a model is random when it is trained."""

from __future__ import annotations

from typing import Any

import keras

from keras_curvature.engines.programs.activity_analysis import place_of
from keras_curvature.engines.torch.arrays import spec
from keras_curvature.engines.torch.operations import is_drawing
from keras_curvature.engines.torch.tracing import trace

SOME = 2
"""How many examples a model is looked at with."""


def random_in_training(model: keras.Layer, inputs: Any, batch: int | None) -> str | None:
    """The name of a layer that draws random numbers in training, if there is one.

    Args:
        model: the model.
        inputs: tensors like those that it takes.
        batch: how many examples it takes at a time, `None` for any number.
    """
    leaves = keras.tree.flatten(inputs)
    specs = [spec((batch or x.shape[0] or SOME, *x.shape[1:]), x.dtype) for x in leaves]
    training = trace(model, specs, inputs, lambda outputs: outputs, training=True)
    layers = [layer.name for layer in model._flatten_layers()]
    noisy = [
        place_of(instruction.operation, layers).layer
        for instruction in training.program.needed(training.outputs, [])
        if is_drawing(instruction.operation.type)
    ]
    return noisy[0] if noisy else None
