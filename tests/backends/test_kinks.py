"""Kinks: where they are and how much, or by name what is not piecewise linear."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc

to_numpy = ops.convert_to_numpy

KINKED = {
    "relu": (lambda x: ops.relu(x - 0.5) - 3 * ops.relu(x + 0.5), [-0.5, 0.5], [-3, 1]),
    "abs of abs": (lambda x: ops.abs(ops.abs(x) - 0.5), [-0.5, 0, 0.5], [2, -2, 2]),
    "clip": (lambda x: ops.clip(4 * x, -1, 2), [-0.25, 0.5], [4, -4]),
    "maximum": (lambda x: ops.maximum(x, 2 * x - 0.25), [0.25], [1]),
    "minimum": (lambda x: ops.minimum(x, 2 * x - 0.25), [0.25], [-1]),
    "leaky": (lambda x: ops.leaky_relu(x, 0.25), [0], [0.75]),
    "where": (lambda x: ops.where(x > 0.5, 3 * x - 1, x), [0.5], [2]),
    "relu6": (lambda x: ops.relu6(8 * x), [0, 0.75], [8, -8]),
    "sign times": (lambda x: x * ops.sign(x), [0], [2]),
    "hard_tanh": (lambda x: ops.hard_tanh(2 * x), [-0.5, 0.5], [2, -2]),
    "straight": (lambda x: 3 * x + 1, [], []),
}

CURVED = {
    "tanh": (ops.tanh, "tanh in the op"),
    "product": (lambda x: x * ops.relu(x), "mul in the op"),
    "step": (lambda x: x + ops.sign(x), "not continuous and piecewise linear: between"),
    "floor": (lambda x: x + ops.floor(x), "not continuous|floor in the op"),
}


def in_a_loop(x):
    return ops.fori_loop(0, 3, lambda i, y: ops.relu(y) + x, x)


if keras.config.backend() == "torch":  # which writes it out while it traces
    KINKED["loop"] = (in_a_loop, [0], [3])
else:
    CURVED["loop"] = (in_a_loop, "in the op")


QUICK = ("abs of abs", "clip", "where")
"""The others take as long to compile."""


@pytest.mark.parametrize(
    ("function", "places", "changes"),
    [
        pytest.param(*row, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, row in KINKED.items()
    ],
)
def test_every_kink_is_found_where_it_is(function, places, changes):
    found = kc.kinks(function, -1, 1)
    np.testing.assert_allclose(found.positions, places, rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.reshape(found.slope_changes, -1), changes, rtol=1e-14)


def test_a_network_is_put_together_again_from_its_kinks():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(16, "relu", bias_initializer="normal"),
            layers.Dense(16, "relu", bias_initializer="normal"),
            layers.Dense(2),
        ]
    )
    found = kc.kinks(model, -2, 2)
    assert len(found.positions) > 16
    x = np.linspace(-2, 2, 333)
    start = kc.derivatives(model, [[-2.0]], ["value", "jacobian"], dtype="float64")
    value, slope = (to_numpy(start[name]).reshape(-1) for name in ("value", "jacobian"))
    ramps = np.maximum(x[:, None] - found.positions, 0)
    rebuilt = value + (x[:, None] + 2) * slope + ramps @ found.slope_changes
    exact = kc.derivatives(model, x[:, None], ["value"], dtype="float64")["value"]
    np.testing.assert_allclose(rebuilt, to_numpy(exact), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("function", "words"), CURVED.values(), ids=CURVED)
def test_what_is_not_piecewise_linear_is_refused_by_name(function, words):
    with pytest.raises(ValueError, match=words):
        kc.kinks(function, -1, 1)
