"""Networks that are penalised in training, and what that adds to their loss."""

from __future__ import annotations

import keras
import pytest
from keras import layers


def network(activation="silu", inputs=2, dtype=None):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((inputs,), dtype=dtype),
            layers.Dense(16, activation, dtype=dtype),
            layers.Dense(1, dtype=dtype),
        ]
    )


def penalty_of(layer, x):
    """A tensor."""
    layer(x, training=True)
    (loss,) = layer.losses
    return loss


@pytest.fixture
def losses_in_float64():
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)
