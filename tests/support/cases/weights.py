"""Models with the same weights in every dtype, none of them at its default."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

SPREAD_OF_CONSTANTS = 0.2
"""How far weights that start as zeros or ones are moved: gamma, beta, biases, means."""


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Makes `dtype` that of the models built inside."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def original(
    make: Callable[[], keras.Model],
    seed: int,
    settle: Callable[[keras.Model], None] | None = None,
) -> keras.Model:
    """Builds a float64 model, with weights that float32 holds exactly.

    Args:
        make: builds the model.
        seed: of the weights.
        settle: adjusts the model when its weights have been moved.
    """
    keras.utils.set_random_seed(seed)
    with precision("float64"):
        model = make()
        perturb(model, np.random.default_rng(seed))
        if settle is not None:
            settle(model)
    for weight in model.weights:
        if tf.as_dtype(weight.dtype).is_floating:
            weight.assign(weight.numpy().astype(np.float32).astype(np.float64))
    return model


def copied(make: Callable[[], keras.Model], dtype: str, source: keras.Model) -> keras.Model:
    """Builds a model in another dtype, with the weights of `source`."""
    with precision(dtype):
        model = make()
    for target, given in zip(model.weights, source.weights, strict=True):
        target.assign(given.numpy())
    return model


def perturb(model: keras.Model, rng: np.random.Generator) -> None:
    """Moves every float weight off its initial value.

    Biases of 0, scales of 1 and untouched moving statistics would hide errors.
    """
    for weight in model.weights:
        if not tf.as_dtype(weight.dtype).is_floating:
            continue  # counters, states of random generators
        value = weight.numpy()
        noise = rng.normal(size=value.shape)
        if "variance" in weight.name:
            moved = value * np.exp(SPREAD_OF_CONSTANTS * noise)  # stays positive
        else:
            # Kernels keep their scale, which deep networks need to stay finite.
            moved = value + (0.5 * value.std() or SPREAD_OF_CONSTANTS) * noise
        weight.assign(moved)
