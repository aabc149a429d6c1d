"""Smooth copies of networks with kinks: right, alike in the limit, saved and loaded."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_curvature as kc
from keras_curvature.functions.smooth_activations import SMOOTH, SmoothActivation
from truth import hessian_of_value

X = np.linspace(-2, 2, 41)[:, None]


def one(*middle):
    """A network of one number whose middle sees values of -8 to 8."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), layers.Dense(6), *middle, layers.Dense(2)])
    model.layers[0].set_weights([np.linspace(-4, 4, 6)[None], np.linspace(-1, 1, 6)])
    return model


def branches(combine):
    """A functional network whose branches meet in `combine`."""
    keras.utils.set_random_seed(0)
    x = keras.Input((1,))
    return keras.Model(x, combine(layers.Dense(4)(x), layers.Dense(4)(x)))


def prelu():
    model = one(layers.PReLU())
    model.layers[1].set_weights([np.linspace(0.1, 0.6, 6)])
    return model


def nested():
    """A layer and a model that are used twice, in a model in a model."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(4, "relu"), layers.ReLU()])
    shared = layers.Dense(3, "leaky_relu")
    x = keras.Input((1,))
    outer = keras.Model(x, inner(shared(x)) + inner(shared(ops.sin(x))))
    return keras.Sequential([keras.Input((1,)), outer, layers.Dense(1)])


def wrapped():
    keras.utils.set_random_seed(0)
    step = keras.Sequential([keras.Input((2,)), layers.Dense(4, "relu"), layers.LeakyReLU(0.1)])
    recurrent = layers.Bidirectional(layers.GRU(3, "relu", "hard_sigmoid"))
    ends = [layers.TimeDistributed(step), recurrent, layers.Dense(1)]
    front = [keras.Input((1,)), layers.Dense(6), layers.Reshape((3, 2))]
    return keras.Sequential([*front, *ends])


def unequal_branches():
    """A comparison lengthens one branch, and with it the order of the layers."""
    keras.utils.set_random_seed(0)
    x = keras.Input((1,))
    a = layers.Dense(3)(ops.maximum(layers.Dense(3)(x), 0.1))
    b = layers.Dense(3)(layers.Dense(3)(layers.Dense(3)(x)))
    return keras.Model(x, ops.clip(a + b, -0.5, 0.5))


def exact_value(model, z):
    return ops.convert_to_numpy(kc.derivatives(model, z, ["value"], dtype="float64")["value"])


CASES = {
    "Dense(relu)": lambda: one(layers.Dense(5, "relu")),
    "Activation(hard_silu)": lambda: one(layers.Activation("hard_silu")),
    "ReLU": lambda: one(layers.ReLU()),
    "ReLU(max_value, negative_slope)": lambda: one(layers.ReLU(3.0, 0.2)),
    "LeakyReLU": lambda: one(layers.LeakyReLU(0.3)),
    "PReLU": prelu,
    "activation=LeakyReLU()": lambda: one(layers.Dense(5, activation=layers.LeakyReLU(0.3))),
    "activation=ops.abs": lambda: one(layers.Dense(5, activation=ops.abs)),
    "activation=lambda": lambda: one(layers.Dense(5, activation=lambda x: 2 * x), layers.ReLU()),
    "Lambda": lambda: one(layers.Lambda(lambda x: 2 * x), layers.ReLU()),
    "ops of one": lambda: branches(lambda a, b: ops.relu(a) + keras.activations.relu(b) + abs(a)),
    "ops of two": lambda: branches(lambda a, b: ops.maximum(a, b) - ops.minimum(a, 0.5)),
    "Maximum": lambda: branches(lambda a, b: layers.Maximum()([a, b, a + b])),
    "unequal branches": unequal_branches,
    "nested and shared": nested,
    "wrapped and recurrent": wrapped,
}

if keras.config.backend() == "tensorflow":
    CASES["activation=tf.nn.relu"] = lambda: one(layers.Dense(5, activation=tf.nn.relu))
if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 8):
    del CASES["activation=LeakyReLU()"]  # cannot be loaded by Keras either

NOT_SAVED = {"activation=lambda", "Lambda"}  # not by Keras either, without unsafe mode


def values(model):
    return ops.convert_to_numpy(model(X, training=False))


@pytest.mark.every(3)
@pytest.mark.parametrize("case", CASES)
def test_the_copy_is_the_model_without_kinks(case):
    model = CASES[case]()
    config, weights, before = str(model.get_config()), model.get_weights(), values(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # which would name the kinks left
        copy = kc.smooth(model, 1e3)
    # A ramp is off by log(2) / beta at most; the networks multiply that by less than 20.
    assert np.abs(values(copy) - before).max() < 20 * np.log(2) / 1e3
    copy.set_weights([w + 1 for w in copy.get_weights()])
    np.testing.assert_array_equal(values(model), before)
    assert str(model.get_config()) == config
    for old, now in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if case in ("PReLU", "nested and shared") else pytest.mark.slow)
        for case in sorted(set(CASES) - NOT_SAVED)
    ],
)
def test_the_copy_is_saved_and_loaded(case, tmp_path):
    copy = kc.smooth(CASES[case](), 5.0)
    copy.save(tmp_path / "smooth.keras")
    loaded = keras.saving.load_model(tmp_path / "smooth.keras")
    np.testing.assert_array_equal(values(loaded), values(copy))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if case == "nested and shared" else pytest.mark.slow)
        for case in sorted(set(CASES) - {"wrapped and recurrent"})
    ],
)
def test_the_copys_exact_curvature_is_that_of_its_values(case):
    copy = kc.smooth(CASES[case](), 3.0)
    x = np.linspace(-0.4, 0.4, 5)[:, None]

    found = ops.convert_to_numpy(kc.hessian(copy, x, dtype="float64"))[..., 0, 0]
    known = hessian_of_value(lambda z: exact_value(copy, z), x, h=0.005)[..., 0, 0]
    assert np.abs(known).max() > 1e-3
    # softplus(3 * 4 x) has poles at pi / 12 = 0.26: order 8 leaves 1e-9 at h = 0.005
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-7 * np.abs(known).max())


@pytest.mark.slow
def test_every_counterpart_is_right_and_tends_to_its_activation():
    """Values, distance to the original, and the second derivative against differences."""
    names = sorted(set(SMOOTH) - {"abs", "absolute", "hard_swish"})
    names = [name for name in names if hasattr(keras.activations, name)]  # older Keras lacks some
    x = np.linspace(-8, 8, 1601)[:, None]

    def original(z):
        return np.hstack(
            [ops.convert_to_numpy(getattr(keras.activations, name)(z)) for name in names]
            + [np.abs(z)]
        )

    def rounded(beta):
        functions = [SmoothActivation(name, beta) for name in [*names, "abs"]]
        return lambda z: ops.concatenate([function(z) for function in functions], axis=1)

    gaps = {
        beta: np.abs(ops.convert_to_numpy(rounded(beta)(x)) - original(x)).max(axis=0)
        for beta in (10, 100)
    }
    # The change of slope at the worst kink times log(2) / beta; x times that for hard_silu.
    worst = dict.fromkeys(names, 1.0) | {
        "hard_sigmoid": 1 / 6, "hard_silu": 0.5, "leaky_relu": 0.8, "sparse_sigmoid": 0.5,
        "selu": 1.0507 * 0.6733,
    }  # fmt: skip
    expected = np.array([worst[name] for name in names] + [2.0]) * np.log(2)
    np.testing.assert_allclose(gaps[100] * 100, expected, rtol=0.02)  # second order in 1 / beta
    np.testing.assert_allclose(gaps[10] * 10, expected, rtol=0.2)

    f = rounded(2.0)
    few = np.linspace(-6.5, 6.5, 14)[:, None]
    found = ops.convert_to_numpy(kc.hessian(f, few, dtype="float64"))[..., 0, 0]
    known = hessian_of_value(lambda z: exact_value(f, z), few, h=0.05)[..., 0, 0]
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-9)  # poles pi / 2 away


def test_the_curvature_of_a_ramp_is_the_logistic_density():
    x = np.linspace(-3, 3, 7)[:, None]
    found = np.ravel(kc.hessian(SmoothActivation("relu", 4.0), x, dtype="float64"))
    np.testing.assert_allclose(found, 1 / np.cosh(2 * x.ravel()) ** 2, rtol=1e-9)


@pytest.mark.slow
def test_smoothing_a_trained_network_shows_its_curvature():
    """The founding question: what autodiff gives is 0, of the copy it is what was learned."""
    keras.utils.set_random_seed(0)
    x = np.linspace(0, 1, 1000)[:, None]
    model = keras.Sequential([keras.Input((1,)), layers.Dense(256, "relu"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    model.fit(x, x**2, epochs=10, batch_size=50, verbose=0)
    inner = np.linspace(0.2, 0.8, 61)[:, None]
    assert float(ops.max(ops.abs(kc.laplacian(model, inner)))) == 0
    mean = float(ops.mean(kc.laplacian(kc.smooth(model, 300.0), inner)))
    assert mean == pytest.approx(2, rel=0.2)  # what it learned is not exactly x**2
    over_a_distance = float(ops.mean(kc.scale_curvature(model, inner, 0.2)))
    assert mean == pytest.approx(over_a_distance, rel=0.1)


def test_a_copy_of_a_compiled_model_can_be_trained():
    def loss(y, found):
        return ops.mean((y - found) ** 2)

    model = one(layers.Dense(8, "relu"))
    model.compile("adam", loss)
    copy = kc.smooth(model, 5.0)
    copy.compile("adam", loss)
    history = copy.fit(X, np.hstack([X**2, X]), epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_what_keeps_its_kinks_is_named():
    model = one(
        layers.Lambda(lambda x: ops.relu(x), name="secret"),
        layers.Reshape((6, 1)),
        layers.MaxPooling1D(name="pool"),
        layers.Flatten(),
    )
    with pytest.warns(UserWarning, match=r"(?i)relu in layer 'secret', .*max.* in layer 'pool'"):
        kc.smooth(model, 5.0)


KINKS_LEFT = {
    "FloorMod": lambda x: tf.math.floormod(x, 0.5),
    "UnsortedSegmentMax": lambda x: tf.transpose(
        tf.math.unsorted_segment_max(tf.transpose(x), tf.range(x.shape[1]) // 2, 3)
    ),
    "TopKV2": lambda x: tf.math.top_k(x, 2)[0],
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("op_type", KINKS_LEFT)
def test_whatever_kinks_is_named(op_type):
    model = one(layers.Lambda(KINKS_LEFT[op_type], name="secret"))
    with pytest.warns(UserWarning, match=f"{op_type} in layer 'secret'"):
        kc.smooth(model, 5.0)


class Subclassed(keras.Model):
    def call(self, x):
        return ops.relu(x)


class Stubborn(layers.Layer):
    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def call(self, x):
        return x


REFUSED = {
    "subclassed": (Subclassed, 5.0, "a subclassed model"),
    "subclassed inside": (lambda: one(Subclassed()), 5.0, "a subclassed model"),
    "not built": (lambda: keras.Sequential([layers.ReLU()]), 5.0, "no build shape"),
    "jump": (lambda: one(layers.ReLU(threshold=1.0, name="r")), 5.0, "'r' jumps at its threshold"),
    "jump in ops": (
        lambda: branches(lambda a, b: keras.activations.relu(a, threshold=1.0) + b),
        5.0,
        "jumps at its threshold",
    ),
    "no config": (lambda: one(Stubborn(object(), name="s")), 5.0, "layer 's' cannot be copied"),
    "zero": (lambda: one(layers.ReLU()), 0.0, "`beta` must be a positive number"),
    "infinite": (lambda: one(layers.ReLU()), float("inf"), "`beta` must be a positive number"),
    "text": (lambda: one(layers.ReLU()), "sharp", "`beta` must be a positive number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_copied_is_refused(case):
    make, beta, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        kc.smooth(make(), beta)
