"""Cases of networks on sequences and images: transformers, U-Net, encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from cases.building import chain, readout
from cases.case import Case
from cases.points import Floats, Integers

TOKENS = (4, 4)


def _feed_forward(x: Any) -> Any:
    width = x.shape[-1]
    return layers.Dense(width)(layers.Dense(2 * width, activation="gelu")(x))


def _attend(x: Any, **kwargs: Any) -> Any:
    return layers.MultiHeadAttention(2, 2)(x, x, **kwargs)


def _pre_norm_block(x: Any, **kwargs: Any) -> Any:
    x = x + _attend(layers.LayerNormalization()(x), **kwargs)
    return x + _feed_forward(layers.LayerNormalization()(x))


def _post_norm_block(x: Any, **kwargs: Any) -> Any:
    x = layers.LayerNormalization()(x + _attend(x, **kwargs))
    return layers.LayerNormalization()(x + _feed_forward(x))


def _transformer(block: Callable[..., Any], blocks: int, **kwargs: Any) -> keras.Model:
    inputs = keras.Input(TOKENS)
    hidden: Any = inputs
    for _ in range(blocks):
        hidden = block(hidden, **kwargs)
    pooled = layers.GlobalAveragePooling1D()(hidden)
    return keras.Model(inputs, layers.Dense(1)(layers.Dense(4, activation="tanh")(pooled)))


def _evidence() -> keras.Model:
    """The two blocks of which TensorFlow's Hessian is off by a tenth: docs/verify.md."""
    inputs = keras.Input((6, 8))
    hidden: Any = inputs
    for _ in range(2):
        normal = layers.LayerNormalization()(hidden)
        hidden = hidden + layers.MultiHeadAttention(2, 4)(normal, normal)
        normal = layers.LayerNormalization()(hidden)
        hidden = hidden + layers.Dense(8)(layers.Dense(16, activation="gelu")(normal))
    hidden = layers.Flatten()(layers.LayerNormalization()(hidden))
    return keras.Model(inputs, layers.Dense(1)(hidden))


def _language_model() -> keras.Model:
    ids = keras.Input((4,), dtype="int32")
    # Keras starts embeddings so close to 0 that the normalisation bends within 0.01.
    vectors = layers.Embedding(7, 4, keras.initializers.RandomNormal(0, 1), name="embedding")(ids)
    hidden = _pre_norm_block(vectors, use_causal_mask=True)
    return keras.Model(ids, layers.Dense(3)(layers.LayerNormalization()(hidden)[:, -1]))


def _perceiver() -> keras.Model:
    """Trained queries look at the input: cross attention whose queries are weights."""
    inputs = keras.Input(TOKENS)
    queries = layers.Dense(4)(ops.zeros_like(inputs[:, :2]))
    return keras.Model(inputs, readout(layers.MultiHeadAttention(2, 2)(queries, inputs)))


def _unet() -> keras.Model:
    inputs = keras.Input((4, 4, 1))

    def block(x: Any, filters: int) -> Any:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        return layers.Activation("silu")(layers.BatchNormalization()(x))

    top = block(inputs, 3)
    bottom = block(layers.AveragePooling2D(2)(top), 4)
    up = layers.Conv2DTranspose(3, 2, strides=2)(bottom)
    joint = block(layers.Concatenate()([top, up]), 3)
    return keras.Model(inputs, layers.Conv2D(1, 1)(joint))


def _convnext_block() -> keras.Model:
    inputs = keras.Input((3, 3, 4))
    x = layers.DepthwiseConv2D(3, padding="same")(inputs)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Dense(4)(layers.Dense(6, activation="gelu")(x))
    return keras.Model(inputs, readout(layers.GlobalAveragePooling2D()(inputs + x)))


def _mobile_block(activation: str) -> keras.Model:
    """An inverted residual with squeeze and excitation."""
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(6, 1, use_bias=False)(inputs)
    x = layers.Activation(activation)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.Activation(activation)(layers.BatchNormalization()(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(2, 1, activation="silu")(gate)
    x = x * layers.Conv2D(6, 1, activation="sigmoid")(gate)
    x = layers.BatchNormalization()(layers.Conv2D(2, 1, use_bias=False)(x))
    return keras.Model(inputs, readout(layers.GlobalAveragePooling2D()(inputs + x)))


def _residual_block() -> keras.Model:
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 3, padding="same")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(2, 3, padding="same")(x))
    x = layers.MaxPooling2D(2)(layers.ReLU()(inputs + x))
    return keras.Model(inputs, readout(x))


def _dense_block() -> keras.Model:
    inputs = keras.Input((3, 3, 2))
    x: Any = inputs
    for _ in range(2):
        new = layers.Activation("elu")(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, layers.Conv2D(2, 3, padding="same")(new)])
    return keras.Model(inputs, readout(layers.AveragePooling2D(3)(x)))


def _encoder_decoder() -> keras.Model:
    inputs = keras.Input((3, 2))
    _, h, c = layers.LSTM(3, return_state=True)(inputs)
    decoded = layers.LSTM(3, return_sequences=True)(inputs, initial_state=[h, c])
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(1))(decoded))


def _normalized_lstm() -> keras.Model:
    return chain(
        (3, 3),
        layers.LayerNormalization(),
        layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
        layers.TimeDistributed(layers.LayerNormalization()),
    )


def _case(name: str, make: Callable[[], keras.Model], x: Any, *tags: str, **fields: Any) -> Case:
    return Case(id=f"networks/{name}", make=make, x=x, tags=frozenset(tags), **fields)


TRANSFORMERS = [
    _case(
        "transformer_pre_norm",
        lambda: _transformer(_pre_norm_block, 2),
        Floats(TOKENS),
        "moments",
    ),
    _case(
        "transformer_post_norm",
        lambda: _transformer(_post_norm_block, 2),
        Floats(TOKENS),
        "moments",
        "slow",
        seed=7,
    ),
    _case(
        "transformer_causal",
        lambda: _transformer(_pre_norm_block, 1, use_causal_mask=True),
        Floats(TOKENS),
        "moments",
    ),
    _case("transformer_of_the_evidence", _evidence, Floats((6, 8), -2, 2), "moments", "slow"),
    _case("language_model", _language_model, Integers((4,), 7), "moments", "wrt", wrt="embedding"),
    _case("perceiver", _perceiver, Floats(TOKENS)),
]

IMAGES = [
    _case("unet", _unet, Floats((4, 4, 1))),
    _case("convnext_block", _convnext_block, Floats((3, 3, 4)), "moments", seed=7),
    _case("efficientnet_block", lambda: _mobile_block("silu"), Floats((4, 4, 2))),
    _case(
        "mobilenet_block",
        lambda: _mobile_block("hard_silu"),
        Floats((4, 4, 2)),
        "kinked",
        step=1 / 16,
    ),
    _case("resnet_block", _residual_block, Floats((4, 4, 2)), "kinked", seed=9),
    _case("densenet_block", _dense_block, Floats((3, 3, 2)), "kinked", seed=10),
]

SEQUENCES = [
    _case("encoder_decoder", _encoder_decoder, Floats((3, 2)), "loop"),
    _case("normalized_lstm", _normalized_lstm, Floats((3, 3)), "loop", "moments", seed=6),
]

CASES = [*TRANSFORMERS, *IMAGES, *SEQUENCES]
