"""Cases of layers: dense, activations, shapes, merging, and those that are off in inference."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from cases.building import layer_case, readout
from cases.case import Case
from cases.points import Integers

ROW, SEQUENCE, IMAGE, VOLUME = (4,), (4, 3), (4, 4, 2), (3, 3, 2, 1)

WIDE = keras.initializers.RandomNormal(stddev=1.0)
"""For embeddings: Keras's own start within 0.05 of 0, where everything is straight."""


def _embedded(layer_name: str) -> keras.Model:
    ids = keras.Input((3,), dtype="int32")
    vectors = getattr(layers, layer_name)(5, 4, WIDE, name="embedding")(ids)
    return keras.Model(ids, readout(vectors))


def _reversed_embedding() -> keras.Model:
    ids = keras.Input((3,), dtype="int32")
    embedding = layers.ReversibleEmbedding(5, 4, embeddings_initializer=WIDE)
    vectors = layers.Identity(name="embedding")(embedding(ids))
    return keras.Model(ids, readout(embedding(layers.Activation("tanh")(vectors), reverse=True)))


def _merged(layer: keras.layers.Layer) -> Any:
    """Applies a merging layer to two different functions of one tensor."""

    def apply(x: Any) -> Any:
        a = layers.Dense(4, activation="tanh")(x)
        b = layers.Dense(4, activation="sigmoid")(x)
        return layer([a, b])

    return apply


DENSE = [
    layer_case("Dense", lambda: layers.Dense(5), ROW),
    layer_case("Dense[on_a_sequence]", lambda: layers.Dense(5), SEQUENCE),
    layer_case("Dense[no_bias]", lambda: layers.Dense(5, use_bias=False), ROW),
    layer_case("Dense[lora]", lambda: layers.Dense(5, lora_rank=2), ROW),
    layer_case(
        "EinsumDense",
        lambda: layers.EinsumDense("abc,cde->abde", (4, 2, 2), bias_axes="de"),
        SEQUENCE,
    ),
    layer_case("Identity", lambda: layers.Identity(), ROW, also=["InputLayer"]),
    layer_case("Lambda", lambda: layers.Lambda(lambda x: x * keras.ops.exp(-x)), ROW),
    layer_case(
        "Masking",
        lambda: lambda x: layers.GlobalAveragePooling1D()(layers.Masking(0.0)(x)),
        SEQUENCE,
    ),
    layer_case(
        "Masking[before_lstm]",
        lambda: lambda x: layers.LSTM(3)(layers.Masking(0.0)(x)),
        SEQUENCE,
        "loop",
    ),
    layer_case("SpectralNormalization", lambda: layers.SpectralNormalization(layers.Dense(5)), ROW),
    Case(
        id="layers/Embedding",
        make=lambda: _embedded("Embedding"),
        x=Integers((3,), 5),
        covers=("layers.Embedding",),
        tags=frozenset({"wrt"}),
        wrt="embedding",
    ),
    Case(
        id="layers/ReversibleEmbedding",
        make=_reversed_embedding,
        x=Integers((3,), 5),
        covers=("layers.ReversibleEmbedding",),
        tags=frozenset({"wrt"}),
        wrt="embedding",
    ),
]

ACTIVATIONS = [
    layer_case("Activation", lambda: layers.Activation("gelu"), ROW),
    layer_case("ELU", lambda: layers.ELU(0.7), ROW, "kinked"),
    layer_case("LeakyReLU", lambda: layers.LeakyReLU(0.3), ROW, "kinked"),
    layer_case("PReLU", lambda: layers.PReLU(), ROW, "kinked"),
    layer_case("ReLU", lambda: layers.ReLU(), ROW, "kinked"),
    layer_case(
        "ReLU[clipped]",
        lambda: layers.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.1),
        ROW,
        "kinked",
    ),
    layer_case("Softmax", lambda: layers.Softmax(), ROW),
    layer_case("Softmax[axis_1]", lambda: layers.Softmax(axis=1), SEQUENCE),
]

SHAPES = [
    layer_case("Flatten", lambda: layers.Flatten(), SEQUENCE),
    layer_case("Reshape", lambda: layers.Reshape((2, -1)), SEQUENCE),
    layer_case("Permute", lambda: layers.Permute((2, 1)), SEQUENCE),
    layer_case("RepeatVector", lambda: layers.RepeatVector(2), ROW),
    layer_case("Cropping1D", lambda: layers.Cropping1D((1, 0)), SEQUENCE),
    layer_case("Cropping2D", lambda: layers.Cropping2D(((1, 0), (0, 1))), IMAGE),
    layer_case("Cropping3D", lambda: layers.Cropping3D(((1, 0), (0, 1), (0, 0))), VOLUME),
    layer_case("ZeroPadding1D", lambda: layers.ZeroPadding1D(1), SEQUENCE),
    layer_case("ZeroPadding2D", lambda: layers.ZeroPadding2D((1, 2)), IMAGE),
    layer_case("ZeroPadding3D", lambda: layers.ZeroPadding3D(1), VOLUME),
    layer_case("UpSampling1D", lambda: layers.UpSampling1D(2), SEQUENCE),
    layer_case("UpSampling2D", lambda: layers.UpSampling2D(2), IMAGE),
    layer_case("UpSampling3D", lambda: layers.UpSampling3D(2), VOLUME),
]

MERGING = [
    layer_case("Add", lambda: _merged(layers.Add()), ROW),
    layer_case("Average", lambda: _merged(layers.Average()), ROW),
    layer_case("Concatenate", lambda: _merged(layers.Concatenate()), ROW),
    layer_case("Dot", lambda: _merged(layers.Dot(axes=-1)), SEQUENCE),
    layer_case("Dot[normalized]", lambda: _merged(layers.Dot(axes=-1, normalize=True)), ROW),
    layer_case("Maximum", lambda: _merged(layers.Maximum()), ROW, "kinked"),
    layer_case("Minimum", lambda: _merged(layers.Minimum()), ROW, "kinked"),
    layer_case("Multiply", lambda: _merged(layers.Multiply()), ROW),
    layer_case("Subtract", lambda: _merged(layers.Subtract()), ROW),
]

OFF_IN_INFERENCE = [
    layer_case("ActivityRegularization", lambda: layers.ActivityRegularization(l2=0.1), ROW),
    layer_case("AlphaDropout", lambda: layers.AlphaDropout(0.5), ROW, "dropout"),
    layer_case("Dropout", lambda: layers.Dropout(0.5), ROW, "dropout"),
    layer_case("GaussianDropout", lambda: layers.GaussianDropout(0.5), ROW, "dropout"),
    layer_case("GaussianNoise", lambda: layers.GaussianNoise(0.5), ROW, "dropout"),
    layer_case("SpatialDropout1D", lambda: layers.SpatialDropout1D(0.5), SEQUENCE, "dropout"),
    layer_case("SpatialDropout2D", lambda: layers.SpatialDropout2D(0.5), IMAGE, "dropout"),
    layer_case("SpatialDropout3D", lambda: layers.SpatialDropout3D(0.5), VOLUME, "dropout"),
]

CASES = [*DENSE, *ACTIVATIONS, *SHAPES, *MERGING, *OFF_IN_INFERENCE]
