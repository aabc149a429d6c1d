"""The layers pass the test that Keras runs its own layers through.

It makes, builds, calls, serialises, trains and revives a layer, symbolically, eagerly and in
mixed precision, and compares shapes, dtypes and weights.
"""

from __future__ import annotations

import keras
import pytest
from keras import layers
from keras.src.testing import TestCase

import keras_curvature as kc


def network(*last):
    return keras.Sequential([keras.Input((2,)), layers.Dense(4, "tanh"), *last])


DERIVATIVES = ["value", "jacobian", "hessian", "laplacian"]
SHAPES = {
    "value": (3, 4),
    "jacobian": (3, 4, 2),
    "hessian": (3, 4, 2, 2),
    "laplacian": (3, 4),
}

CASES = {
    "all": (kc.DerivativeOutput, network, {"names": DERIVATIVES}, {}, SHAPES),
    "one": (kc.DerivativeOutput, network, {"names": "laplacian"}, {}, (3, 4)),
    "unbuilt": (kc.DerivativeOutput, lambda: layers.Dense(4, "tanh"), {"names": "value"}, {}, None),
    "output": (kc.DerivativeOutput, network, {"names": "jacobian", "output": 1}, {}, (3, 1, 2)),
    "state": (
        kc.DerivativeOutput,
        lambda: network(layers.BatchNormalization()),
        {"names": "value"},
        {"expected_num_trainable_weights": 4, "expected_num_non_trainable_weights": 2},
        (3, 4),
    ),
    "penalty": (
        kc.CurvaturePenalty,
        network,
        {"strength": 0.1},
        {"expected_num_seed_generators": 1, "expected_num_losses": 0},  # it draws directions
        (3, 4),
    ),
    "penalty at a scale": (
        kc.CurvaturePenalty,
        network,
        {"strength": 0.1, "scale": [0.1, 0.2], "directions": 2, "seed": 3, "metric_name": "bend"},
        {"call_kwargs": {"training": True}, "expected_num_losses": 1},
        (3, 4),
    ),
    "shape": (
        kc.ShapePenalty,
        network,
        {"shape": {0: ("convex", "increasing")}, "scale": [0.1, 0.2], "seed": 3},
        {
            "call_kwargs": {"training": True},
            "expected_num_losses": 1,
            "expected_num_seed_generators": 1,
            "expected_num_non_trainable_weights": 1,
        },
        (3, 4),
    ),
}


@pytest.mark.every(2)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed", "ignore:Gradients do not exist")
def test_keras_own_layer_test(name):
    cls, make, options, expected, shape = CASES[name]
    expected = {"expected_num_trainable_weights": 2, "expected_output_dtype": None, **expected}
    TestCase().run_layer_test(
        cls,
        {"layer": make(), **options},
        input_shape=(3, 2),
        expected_output_shape=shape,
        supports_masking=True,
        **expected,
    )
