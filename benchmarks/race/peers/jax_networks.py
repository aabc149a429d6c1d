"""The networks in JAX, one example at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.race.networks import ConvNet, Mlp, Network, Transformer, pairs

Weights = list[jax.Array]


def value_of(network: Network) -> Callable[[Weights, jax.Array], jax.Array]:
    """Weights and one example to one number."""
    match network:
        case Mlp():
            return _mlp
        case ConvNet():
            return _conv_net
        case Transformer():
            return partial(_transformer, network)


def _mlp(weights: Weights, x: jax.Array) -> jax.Array:
    *hidden, (kernel, bias) = pairs(weights)
    for a, b in hidden:
        x = jnp.tanh(x @ a + b)
    return (x @ kernel + bias)[0]


def _conv_net(weights: Weights, x: jax.Array) -> jax.Array:
    *convolutions, (last, shift) = pairs(weights)
    x = x[None]
    for i, (kernel, bias) in enumerate(convolutions):
        x = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jnp.tanh(x + bias)
        if i % 2:
            _, side, _, channels = x.shape
            x = x.reshape(1, side // 2, 2, side // 2, 2, channels).mean(axis=(2, 4))
    return (x.reshape(-1) @ last + shift)[0]


def _transformer(net: Transformer, weights: Weights, x: jax.Array) -> jax.Array:
    given = pairs(weights)

    def dense(x: jax.Array) -> jax.Array:
        kernel, bias = next(given)
        return x @ kernel + bias

    def normalised(x: jax.Array) -> jax.Array:
        scale, shift = next(given)
        return jax.nn.standardize(x, axis=-1, epsilon=net.EPSILON) * scale + shift

    def heads(x: jax.Array) -> jax.Array:
        kernel, bias = next(given)
        return jnp.einsum("tw,whe->hte", x, kernel) + bias[:, None]

    def attended(x: jax.Array) -> jax.Array:
        query, key, value = heads(x), heads(x), heads(x)
        scores = jax.nn.softmax(query @ key.swapaxes(1, 2) / jnp.sqrt(query.shape[-1]))
        kernel, bias = next(given)
        return jnp.einsum("hte,hew->tw", scores @ value, kernel) + bias

    x = dense(x)
    for _ in range(net.blocks):
        x = x + attended(normalised(x))
        hidden = jax.nn.gelu(dense(normalised(x)), approximate=False)
        x = x + dense(hidden)
    return dense(normalised(x).mean(axis=0))[0]
