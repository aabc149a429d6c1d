"""Cases of `keras.applications`: whole networks on small images, without trained weights.

Untrained and with BatchNormalization at its defaults, the signal of these networks fades to
1e-13 or grows beyond all bounds; they are settled so that every layer sees numbers of
order 1. Networks with ReLU have kinks at every turn: see `truth.difference_of_slope`.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import keras
import numpy as np
from keras import layers

from cases.case import Case
from cases.points import Floats

SIZE = 32
BATCH = Floats((SIZE, SIZE, 3))


def _network(name: str) -> keras.Model:
    """With three classes instead of a thousand."""
    build = getattr(keras.applications, name)
    base = build(include_top=False, weights=None, input_shape=BATCH.shape, pooling="avg")
    return keras.Model(base.input, layers.Dense(3, activation="softmax")(base.output))


def _settle(model: keras.Model, high: float) -> None:
    """Makes each BatchNormalization divide by the size of what it sees.

    Not by its deviation over a batch: that magnifies the differences between examples from
    layer to layer, and the network becomes chaotic.
    """
    x = Floats(BATCH.shape, 0.0, high).draw(np.random.default_rng(0), 4)
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            if isinstance(layer, layers.BatchNormalization):
                layer.__dict__["call"] = functools.partial(_scaling_call, layer, layer.call)
                stack.callback(layer.__dict__.pop, "call")
        model(x, training=False)


def _scaling_call(
    layer: layers.BatchNormalization, call: Any, x: Any, *args: Any, **kwargs: Any
) -> Any:
    size = np.sqrt(np.mean(np.square(x)))
    layer.moving_mean.assign(layer.moving_mean * size)
    layer.moving_variance.assign(layer.moving_variance * size**2)
    return call(x, *args, **kwargs)


def _case(name: str, *tags: str, high: float = 1.0, **fields: Any) -> Case:
    return Case(
        id=f"applications/{name}",
        make=lambda: _network(name),
        x=Floats(BATCH.shape, 0.0, high),
        tags=frozenset({"slow", "wide", *tags}),
        settle=lambda model: _settle(model, high),
        **fields,
    )


KINKED = ("kinked", "truth_from_gradient")

CASES = [
    _case("ConvNeXtTiny", "moments", "function", high=255, step=4.0),
    _case("EfficientNetB0", high=255, step=2.0),
    _case("EfficientNetV2B0", high=255, step=2.0),
    _case("MobileNetV2", *KINKED, step=1e-6),
    _case("MobileNetV3Small", *KINKED, high=255, step=1e-3),
    _case("ResNet50", *KINKED, step=1e-7),
    _case("DenseNet121", *KINKED, step=1e-6),
]
