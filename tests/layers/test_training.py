"""Training through `DerivativeOutput`: gradients, ways to train, and what training means."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
import truth

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 2)).astype("float32")
Y = {"value": np.sin(X[:, :1]), "laplacian": np.cos(X[:, 1:])}
LOSSES = {"value": "mse", "laplacian": "mse"}
WEIGHTS = {"value": 1.0, "laplacian": 0.1}


def network(*hidden, dtype=None):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2,), dtype="float64" if dtype == "float64" else None)
    stack = [make(dtype) for make in hidden] or [layers.Dense(8, "tanh", dtype=dtype)]
    return keras.Sequential([inputs, *stack, layers.Flatten(), layers.Dense(1, dtype=dtype)])


def model_of(net, names=("value", "laplacian"), **options):
    inputs = keras.Input((2,))
    return keras.Model(inputs, kc.DerivativeOutput(net, names, **options)(inputs))


def dense(activation="tanh", **options):
    return lambda dtype: layers.Dense(6, activation, dtype=dtype, **options)


def sequence(*make):
    return [lambda dtype: layers.Reshape((2, 1), dtype=dtype), *make]


class Slope(keras.layers.Layer):
    """Differentiates a network of its own, inside whatever tapes there are around."""

    def __init__(self, dtype):
        super().__init__(dtype=dtype)
        self.net = network(dtype=dtype)

    def call(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = self.net(x)
        return tape.gradient(y, x)


NETWORKS = {
    "two layers": [dense(), dense("silu")],
    "layer normalisation": [dense(), lambda dtype: layers.LayerNormalization(dtype=dtype)],
    "softsign": [dense("softsign")],
    "convolution": sequence(lambda dtype: layers.Conv1D(4, 2, activation="gelu", dtype=dtype)),
    "recurrent": sequence(lambda dtype: layers.GRU(3, dtype=dtype)),
    "differentiating": [Slope],
}
SLOW_NETWORKS = ("recurrent", "convolution")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW_NETWORKS)) for n in NETWORKS],
)
def test_gradients_by_the_weights_match_differences_of_the_loss(name):
    """The loss is a float64 function of the weights; what it is made of is tested elsewhere."""
    net = network(*NETWORKS[name], dtype="float64")
    layer = kc.DerivativeOutput(net, ["value", "jacobian", "laplacian"], dtype="float64")
    x = tf.constant(X[:4], tf.float64)

    def loss():
        found = layer(x)
        return sum(tf.reduce_mean((found[name] - 1) ** 2) for name in found)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, net.trainable_variables)

    start = [w.numpy() for w in net.trainable_variables]
    found = gradient()
    shift = [RNG.normal(size=w.shape) for w in start]

    compiled = tf.function(loss)

    def along(t):
        for variable, w, s in zip(net.trainable_variables, start, shift, strict=True):
            variable.assign(w + t * s)
        return compiled().numpy()

    def losses(points):
        return np.array([[along(t)] for t in points[:, 0]])

    wanted = truth.gradient(losses, np.zeros((1, 1)), h=1e-4)[0, 0, 0]
    # A slope knows nothing of the bias behind it.
    slope = sum(np.sum(g * s) for g, s in zip(found, shift, strict=True) if g is not None)
    # Rounding leaves 1e-14 / h of the loss; a longer step would cross the kink of softsign''.
    np.testing.assert_allclose(slope, wanted, rtol=1e-7)


WAYS = {
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
    "eagerly": {"run_eagerly": True},
    "several steps at once": {"jit_compile": False, "steps_per_execution": 2},
}


def trained(net, way="graph", epochs=1, **options):
    model = model_of(net, **options)
    model.compile(keras.optimizers.SGD(0.05), LOSSES, loss_weights=WEIGHTS, **WAYS[way])
    history = model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0).history
    return model, history


@pytest.mark.every(8)
@pytest.mark.parametrize("name", ["two layers", "differentiating"])
@pytest.mark.parametrize(
    "way", ["xla", "eagerly", pytest.param("several steps at once", marks=pytest.mark.slow)]
)
def test_every_way_to_train_gives_the_same_weights(way, name):
    expected, _ = trained(network(*NETWORKS[name]))
    found, history = trained(network(*NETWORKS[name]), way)
    for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # four steps in float32
    assert set(history) == {"loss", "value_loss", "laplacian_loss"}


@pytest.mark.slow
def test_a_loss_per_output_and_weights_add_up():
    net = network()
    model, history = trained(net, epochs=3)
    assert history["loss"][-1] < history["loss"][0]
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    predicted = model.predict(X, verbose=0)
    for name, y in Y.items():
        by_hand = np.mean((predicted[name] - y) ** 2)
        np.testing.assert_allclose(found[f"{name}_loss"], by_hand, rtol=1e-5)
    total = sum(WEIGHTS[name] * found[f"{name}_loss"] for name in Y)
    np.testing.assert_allclose(found["loss"], total, rtol=1e-5)
    before = net.get_weights()
    model.train_on_batch(X, Y)
    assert not np.allclose(before[0], net.get_weights()[0])
    np.testing.assert_allclose(net.predict(X, verbose=0), model(X)["value"], atol=1e-6)


def test_mixed_precision_trains_as_float32_does():
    """Only the optimizer's scaling of the loss is left of it."""
    net = network(dtype="mixed_float16")
    model = model_of(net, dtype="mixed_float16")
    optimizer = keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(0.05))
    model.compile(optimizer, LOSSES, loss_weights=WEIGHTS, jit_compile=False)
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    expected, _ = trained(network())
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        assert a.dtype == "float32"
        np.testing.assert_allclose(a, b, atol=1e-5)  # four steps in float32


def test_what_is_not_trainable_stays():
    net = network(dense(), dense())
    net.layers[0].trainable = False
    before = net.get_weights()
    trained(net)
    changed = [not np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True)]
    assert changed[:2] == [False, False]
    assert all(changed[2:-1])

    frozen = kc.DerivativeOutput(network(), "value", trainable=False)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layers.Dense(1)(frozen(inputs)))
    before = frozen.layer.get_weights()
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(X, Y["value"], verbose=0)
    assert len(model.trainable_weights) == 2
    for a, b in zip(before, frozen.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_normalisation_uses_its_moving_statistics_and_updates_them():
    net = network(dense(), lambda dtype: layers.BatchNormalization(momentum=0.5))
    layer = kc.DerivativeOutput(net, ["value", "laplacian"])
    normalisation = net.layers[1]
    normalisation.moving_mean.assign(np.linspace(-1, 1, 6))
    expected = kc.derivatives(net, X, ["value", "laplacian"])
    hidden = net.layers[0](X).numpy()
    moved = (normalisation.moving_mean.numpy() + hidden.mean(axis=0)) / 2

    found = layer(X, training=True)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
    np.testing.assert_allclose(normalisation.moving_mean, moved, atol=1e-6)
    layer(X, training=False)
    np.testing.assert_allclose(normalisation.moving_mean, moved, atol=1e-6)

    trained(net)
    assert not np.allclose(normalisation.moving_mean, moved)


def test_other_state_is_updated_too():
    """Spectral normalisation divides by a norm that it finds in training."""
    net = network(lambda dtype: layers.SpectralNormalization(layers.Dense(6, "tanh")))
    vector = net.layers[0].vector_u
    before = vector.numpy()
    trained(net)
    assert not np.allclose(before, vector)


@pytest.mark.slow
def test_dropout_has_no_effect_and_that_is_said():
    net = network(dense(), lambda dtype: layers.Dropout(0.5, name="thinned"))
    layer = kc.DerivativeOutput(net, ["value", "laplacian"])
    expected = layer(X)
    with pytest.warns(UserWarning, match="'thinned' .* random in training"):
        found = layer(X, training=True)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(X, training=True)  # once is enough
        # Seeds that are never used are no noise.
        kc.DerivativeOutput(network(*NETWORKS["recurrent"]), "value")(X, training=True)


def straight():
    return network(lambda dtype: layers.Dense(4, "relu"))


LINES = {
    "second derivatives": (lambda: kc.DerivativeOutput(straight(), ["value", "laplacian"]), "silu"),
    "one of them": (lambda: kc.DerivativeOutput(straight(), "hessian"), "silu"),
    "a penalty": (lambda: kc.CurvaturePenalty(straight(), 1.0), "scale='auto'"),
}


@pytest.mark.every(3)
@pytest.mark.parametrize("case", LINES)
def test_straight_pieces_train_nothing_and_that_is_said_once(case):
    make, instead = LINES[case]
    layer = make()
    layer(X)  # outside of training a second derivative of 0 may be what is wanted
    with pytest.warns(UserWarning, match=f"straight between kinks.*{instead}"):
        layer(X, training=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(X, training=True)


BENDS = {
    "slopes": lambda: kc.DerivativeOutput(straight(), ["value", "jacobian"]),
    "differences": lambda: kc.DerivativeOutput(straight(), "laplacian", engine="finite_difference"),
    "a penalty of differences": lambda: kc.CurvaturePenalty(straight(), 1.0, scale="auto"),
    "a square of pieces": lambda: kc.DerivativeOutput(
        network(lambda dtype: layers.Dense(4, "relu"), lambda dtype: layers.Lambda(tf.square)),
        "laplacian",
    ),
}


@pytest.mark.parametrize("case", BENDS)
def test_nothing_is_said_where_they_train(case):
    layer = BENDS[case]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(X, training=True)


def regularised():
    squares = keras.regularizers.L2(0.01)
    return dense(kernel_regularizer=squares, activity_regularizer=squares)


def test_losses_inside_the_wrapped_model_count_once():
    net = network(regularised())
    layer = kc.DerivativeOutput(net, "laplacian")
    net(X)
    expected = sorted(float(loss) for loss in net.losses)
    assert len(expected) == 2

    @tf.function
    def in_graph(x):
        layer(x)
        return layer.losses

    layer(X)
    assert sorted(map(float, layer.losses)) == pytest.approx(expected)
    assert sorted(map(float, in_graph(tf.constant(X)))) == pytest.approx(expected)
    model = model_of(net)
    model.compile("sgd", LOSSES, loss_weights=WEIGHTS, jit_compile=False)
    found = model.evaluate(X, Y, verbose=0, return_dict=True)
    data = sum(WEIGHTS[name] * found[f"{name}_loss"] for name in Y)
    assert found["loss"] - data == pytest.approx(sum(expected), rel=1e-4)


def test_the_model_around_is_left_alone():
    """Tracing must not clear losses made before, nor put later layers into inference mode."""

    class Around(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = network(regularised())
            self.derivatives = kc.DerivativeOutput(self.net, "laplacian")
            self.own = layers.Dropout(0.5)

        def call(self, x, training=None):
            once = self.net(x)
            kc.laplacian(self.net, x)
            twice = self.derivatives(x)
            return once, twice, self.own(tf.ones_like(x))

    model = Around()
    for way in (model, tf.function(model)):
        *_, dropped = way(tf.constant(X), training=True)
        assert np.any(dropped == 0)
        assert len(model.losses) == 3  # one kernel, and the activity of two calls


@pytest.mark.slow
def test_the_monitor_watches_the_value():
    net = network()
    model = model_of(net)
    model.compile("sgd", LOSSES, loss_weights=WEIGHTS, jit_compile=False)
    monitor = kc.CurvatureMonitor(X, output="value", units="raw")
    history = model.fit(X, Y, verbose=0, callbacks=[monitor]).history
    mean = float(np.mean(kc.laplacian(net, X)))
    assert history["curvature_mean"][-1] == pytest.approx(mean, rel=1e-4)
