"""Bounds against balls of arbitrary precision (python-flint), which round nothing away."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_curvature as kc

flint = pytest.importorskip("flint")
arb = flint.arb

POINTS = 40
"""The networks are small, and so is the time: `benchmarks/cost/enclosures.py` has more."""


def tanh(z):
    t = z.tanh()
    return t, 1 - t * t, -2 * t * (1 - t * t)


def sigmoid(z):
    s = 1 / (1 + (-z).exp())
    return s, s * (1 - s), s * (1 - s) * (1 - 2 * s)


def softplus(z):
    s = 1 / (1 + (-z).exp())
    return (1 + z.exp()).log(), s, s * (1 - s)


def silu(z):
    s = 1 / (1 + (-z).exp())
    d = s * (1 - s)
    return z * s, s + z * d, 2 * d + z * d * (1 - 2 * s)


def gelu(z):
    root = arb(2).sqrt()
    share = (-z / root).erfc() / 2
    density = (-z * z / 2).exp() / (2 * arb.pi()).sqrt()
    return z * share, share + z * density, density * (2 - z * z)


FUNCTIONS = {f.__name__: f for f in (tanh, sigmoid, softplus, silu)}
# Elsewhere a gelu is written with a constant in float32, which is another function.
if keras.config.backend() == "torch":
    FUNCTIONS["gelu"] = gelu


def exact(weights, function, x):
    """Value, slope and second derivative along the first input, as balls."""
    jets = [(arb(float(v)), arb(i == 0), arb(0)) for i, v in enumerate(x)]
    for k, (kernel, bias) in enumerate(weights):
        mapped = []
        for column, offset in zip(kernel.T, bias, strict=True):
            parts = [
                sum(
                    (arb(float(w)) * jet[order] for w, jet in zip(column, jets, strict=True)),
                    arb(0),
                )
                for order in range(3)
            ]
            mapped.append((parts[0] + arb(float(offset)), parts[1], parts[2]))
        jets = mapped
        if k < len(weights) - 1:
            jets = [
                (f, d * u, d * v + dd * u * u) for (z, u, v) in jets for f, d, dd in [function(z)]
            ]
    return jets[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bounds_at_points_and_around_them_hold_the_balls(name):
    rng = np.random.default_rng(3)
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(6, name), layers.Dense(5, name), layers.Dense(1)]
    )
    model.set_weights([rng.normal(0, 0.8, w.shape).astype("float32") for w in model.get_weights()])
    arrays = model.get_weights()
    weights = list(zip(arrays[::2], arrays[1::2], strict=True))
    x = rng.normal(0, 2, (POINTS, 2))
    room = rng.choice([0.0, 0.0, 1e-9, 1e-3], (POINTS, 1))
    names = {"a": "value", "b": (0,), "c": (0, 0)}
    found = kc.enclose(model, x - room, x + room, names)
    flint.ctx.prec = 120
    for i in range(POINTS):
        for true, (lower, upper) in zip(
            exact(weights, FUNCTIONS[name], x[i]), found.values(), strict=True
        ):
            assert arb(float(lower[i, 0])) <= true <= arb(float(upper[i, 0]))
