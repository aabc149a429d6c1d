"""The share of the curvature that the exact second derivative does not see."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_curvature as kc
from keras_curvature.engines.dispatch import ENGINES
from keras_curvature.engines.options import Options
from keras_curvature.measurement import segments
from keras_curvature.measurement.exact import ExactMeasurer
from keras_curvature.measurement.probe import make_probe

LINE = np.linspace(-1, 1, 101)[:, None]


def hat(x):
    """Five kinks of slope change 1."""
    return sum([ops.relu(x - k) for k in (-0.8, -0.4, 0.0, 0.4, 0.8)])


KINKED = {
    "relu": hat,
    "abs": ops.abs,
    "leaky_relu": ops.leaky_relu,
    "hard_tanh": lambda x: ops.clip(3 * x, -1.0, 1.0),
}

SMOOTH = {
    "parabola": ops.square,
    "sin_3x": lambda x: ops.sin(3 * x),
    "sin_20x": lambda x: ops.sin(20 * x),
    "gauss": lambda x: ops.exp(-20 * x**2),
    "softplus": lambda x: ops.softplus(10 * x),
    # Their second derivative jumps, which is not a kink: the slope does not.
    "relu_squared": lambda x: ops.relu(x) ** 2 - ops.relu(x - 0.3) ** 2,
    "elu": lambda x: ops.elu(3 * x),
}

STRAIGHT = {"line": lambda x: 3 * x + 1, "constant": lambda x: 0 * x + 1}

FUNCTIONS = KINKED | SMOOTH | STRAIGHT


@pytest.fixture(scope="module")
def shares():
    """Of each function in random directions, along the axis, and as the monitor logs it."""
    x = keras.Input((1,))
    model = keras.Model(x, {name: layers.Lambda(f)(x) for name, f in FUNCTIONS.items()})
    randomly = kc.hidden_fraction(model, LINE)
    along_axes = kc.hidden_fraction(model, LINE, along="axes")
    logged = ExactMeasurer(model, make_probe(LINE), options=Options()).measure()
    return {
        name: [
            randomly[name].item(),
            along_axes[name].item(),
            logged[name].headline()["hidden_fraction"],
        ]
        for name in FUNCTIONS
    }


@pytest.mark.parametrize("name", KINKED)
def test_all_of_it_is_hidden_in_kinks(name, shares):
    np.testing.assert_allclose(shares[name], 1, rtol=1e-12)


@pytest.mark.parametrize("name", SMOOTH)
def test_nothing_is_hidden_of_a_smooth_function(name, shares):
    assert max(shares[name]) < 0.01


@pytest.mark.parametrize("name", STRAIGHT)
def test_nothing_is_hidden_where_there_is_nothing(name, shares):
    assert shares[name] == [0, 0, 0]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_mixture_of_known_parts(share):
    """Kinks at every 1/24 change the slope by as much as a parabola, in the given ratio.

    Every window of 1 / 2 and each of its pieces of 1 / 12 holds kinks in proportion.
    """
    places = (np.arange(-60, 61) + 0.5) / 24

    def kinked(x):
        return ops.sum(ops.relu(x - ops.convert_to_tensor(places, x.dtype)), axis=1, keepdims=True)

    def mixture(x):
        return share * kinked(x) / 24 + (1 - share) * x**2 / 2

    x = np.linspace(-1, 1, 97)[:, None] + 1 / 96
    found = kc.hidden_fraction(mixture, x, 0.25)
    # One kink more or less at the ends of a piece, of which there are two inside.
    np.testing.assert_allclose(found, share, atol=0.03)


def network(d, *activations):
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(32, a, bias_initializer="random_normal") for a in activations]
    return keras.Sequential([keras.Input((d,)), *hidden, layers.Dense(1)])


@pytest.mark.slow
@pytest.mark.parametrize("d", [*(pytest.param(d, marks=pytest.mark.slow) for d in (2, 5)), 10])
def test_many_inputs(d):
    points = np.random.default_rng(0).uniform(-1, 1, size=(100, d))
    x = keras.Input((d,))
    networks = {"kinked": network(d, "relu", "relu"), "smooth": network(d, "tanh", "silu")}
    model = keras.Model(x, {name: network(x) for name, network in networks.items()})
    randomly = kc.hidden_fraction(model, points)
    along_axes = kc.hidden_fraction(model, points, along="axes")
    logged = ExactMeasurer(model, make_probe(points), options=Options()).measure()
    for name, truth in (("kinked", 1), ("smooth", 0)):
        assert along_axes[name].shape == (1, d)
        np.testing.assert_allclose(along_axes[name], truth, atol=1e-3)
        np.testing.assert_allclose(randomly[name], truth, atol=1e-3)
        share = logged[name].headline()["hidden_fraction"]
        assert share == pytest.approx(truth, abs=1e-3)


def test_each_input_has_its_own_share():
    def different(x):
        return (
            hat(x[:, :1]) + ops.sin(3 * x[:, 1:2]) + 5 * x[:, 2:3] + x[:, 3:] ** 2 + hat(x[:, 3:])
        )

    x = np.random.default_rng(0).uniform(-1, 1, size=(100, 4))
    kink, wave, line, both = kc.hidden_fraction(different, x, along="axes")[0]
    assert (kink, line) == (pytest.approx(1), 0)
    assert wave < 0.01
    # slope of the hat changes by 2.5 per unit length, that of the parabola by 2
    assert both == pytest.approx(2.5 / 4.5, abs=0.15)  # a piece holds a kink or none
    assert 0.2 < kc.hidden_fraction(different, x)[0] < 0.8


def test_every_output_has_its_own_share():
    def three(x):
        return {"a": ops.concatenate([hat(x), x**2], 1), "b": 3 * x}

    found = kc.hidden_fraction(three, LINE)
    np.testing.assert_allclose(found["a"], [1, 0], atol=1e-12)
    np.testing.assert_array_equal(found["b"], [0])
    assert kc.hidden_fraction(three, LINE, along="axes")["a"].shape == (2, 1)
    assert kc.hidden_fraction(three, LINE, output="b").shape == (1,)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_the_engines_agree(engine):
    def partly(x):
        return ops.abs(x[:, :1]) + ops.sin(2 * x[:, 1:])

    x = np.random.default_rng(0).uniform(-1, 1, size=(50, 2))
    found = kc.hidden_fraction(partly, x, 0.5, engine=engine)
    # A difference of gradients across a kink would be enormous: no point is that near to one.
    np.testing.assert_allclose(found, kc.hidden_fraction(partly, x, 0.5), rtol=1e-6)
    assert 0.05 < found[0] < 0.95


@pytest.mark.parametrize("constant", [0.0, 0.3, 7.0])
@pytest.mark.parametrize(("activation", "share"), [("silu", 0), ("relu", 1)])
def test_a_constant_column_is_not_moved(activation, share, constant):
    """An adapted Normalization divides it by 1e-7: over any step silu looks like relu."""
    x = np.random.default_rng(0).normal(size=(200, 3)).astype("float32")
    x[:, 2] = constant
    scale = layers.Normalization()
    scale.adapt(x)
    net = keras.Sequential([keras.Input((3,)), scale, *network(3, activation).layers])
    assert kc.hidden_fraction(net, x) == pytest.approx(share, abs=1e-9)
    a, b, along = kc.hidden_fraction(net, x, along="axes")[0]
    assert (a, b) == pytest.approx((share, share), abs=1e-9)
    assert np.isnan(along)  # how far it might be moved nobody knows
    # Whoever says how far gets that: the function over that distance.
    assert kc.hidden_fraction(net, x, 0.25) > 0.99


def test_one_point_and_chunks_do():
    model = network(2, "relu", "tanh")
    point = np.array([[0.1, -0.2]])
    whole = kc.hidden_fraction(model, point, 1.0)
    assert 0.5 < whole[0] < 1
    parts = kc.hidden_fraction(model, point, 1.0, batch_size=7)
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


def test_the_rules_integrate_what_they_should():
    for rule, degree in ((segments.RULE, 7), (segments.RULE_WITHOUT_ONE, 2)):
        powers = np.arange(degree + 1)
        found = rule @ segments.GAUSS_POINTS[:, None] ** powers
        np.testing.assert_allclose(found, 1 / (powers + 1), rtol=1e-13)


def test_along_must_be_known():
    with pytest.raises(ValueError, match="'random' or 'axes'"):
        kc.hidden_fraction(ops.abs, LINE, along="lines")
