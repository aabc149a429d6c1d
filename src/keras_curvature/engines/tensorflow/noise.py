"""What of a model is random when it is trained."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_curvature.engines.tensorflow.activity_analysis import layer_of
from keras_curvature.engines.tensorflow.tracing import trace


def random_in_training(model: keras.Layer, inputs: Any, batch: int | None) -> str | None:
    """The name of a layer that draws random numbers in training, if there is one.

    Args:
        model: the model.
        inputs: tensors like those that it takes.
        batch: how many examples it takes at a time, `None` for any number.
    """
    leaves = keras.tree.flatten(inputs)
    specs = [tf.TensorSpec([batch, *t.shape[1:]], t.dtype) for t in leaves]
    training = trace(model, specs, inputs, lambda outputs: outputs, training=True)
    noisy = [op.name for op in training.graph.get_operations() if "Random" in op.type]
    if not noisy:
        return None
    layers = [layer.name for layer in model._flatten_layers()]
    return layer_of(noisy[0], layers, training.scopes)
