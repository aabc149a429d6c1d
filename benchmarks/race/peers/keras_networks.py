"""The networks as Keras models."""

from __future__ import annotations

import keras
from keras import layers

from benchmarks.race.networks import Application, ConvNet, Mlp, Network, Transformer


def build(network: Network) -> keras.Model:
    """The model with its weights."""
    match network:
        case Mlp():
            model = _mlp(network)
        case ConvNet():
            model = _conv_net(network)
        case Transformer():
            model = _transformer(network)
        case Application():
            keras.utils.set_random_seed(0)
            return getattr(keras.applications, network.name)(
                weights=None,
                input_shape=network.input_shape,
                classes=network.classes,
                classifier_activation="sigmoid" if network.classes == 1 else "softmax",
            )
    model.set_weights(network.weights())
    return model


def _mlp(net: Mlp) -> keras.Model:
    hidden = [layers.Dense(net.width, activation="tanh") for _ in range(net.depth)]
    return keras.Sequential([keras.Input(net.input_shape), *hidden, layers.Dense(1)])


def _conv_net(net: ConvNet) -> keras.Model:
    model = keras.Sequential([keras.Input(net.input_shape)])
    for width in net.stages:
        for _ in range(2):
            model.add(layers.Conv2D(width, 3, padding="same", activation="tanh"))
        model.add(layers.AveragePooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(1))
    return model


def _transformer(net: Transformer) -> keras.Model:
    inputs = keras.Input(net.input_shape)
    x = layers.Dense(net.width)(inputs)
    for _ in range(net.blocks):
        normal = layers.LayerNormalization(epsilon=net.EPSILON)(x)
        x = x + layers.MultiHeadAttention(net.heads, net.width // net.heads)(normal, normal)
        normal = layers.LayerNormalization(epsilon=net.EPSILON)(x)
        x = x + layers.Dense(net.width)(layers.Dense(2 * net.width, activation="gelu")(normal))
    x = layers.LayerNormalization(epsilon=net.EPSILON)(x)
    return keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(x)))
