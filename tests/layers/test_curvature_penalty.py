"""`CurvaturePenalty`: what it adds, that it flattens, and that it says what it added."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
import penalised
import truth
from penalised import losses_in_float64, network  # noqa: F401

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 3))
A = A + A.T


@keras.saving.register_keras_serializable(package="tests")
class Quadratic(keras.Layer):
    """`x'Ax / 2 + x_0` and three times as much: the Hessians are `A` and `3 A`."""

    def call(self, x):
        a = tf.constant(A, x.dtype)
        y = tf.reduce_sum(x * (x @ a), axis=1, keepdims=True) / 2 + x[:, :1]
        return tf.concat([y, 3 * y], axis=1)


def penalty_of(layer, x):
    return float(penalised.penalty_of(layer, x))


@pytest.mark.parametrize("scale", [None, 0.5, (0.5, 0.5, 0.5)], ids=str)
def test_its_expectation_is_known(scale):
    """And a quadratic form is as curved over a distance as at a point."""
    x = RNG.normal(size=(2000, 3)).astype("float32")
    layer = kc.CurvaturePenalty(Quadratic(), 0.5, directions=10, scale=scale, seed=0)
    form = (2 * np.sum(A**2) + np.trace(A) ** 2) / (3 * 5)
    expected = 0.5 * (1 + 9) / 2 * form
    # 20,000 directions, whose squares scatter about as much as they are large.
    assert penalty_of(layer, x) == pytest.approx(expected, rel=0.03)


def test_the_output_choice_and_the_direction_of_a_scale():
    x = RNG.normal(size=(50, 3)).astype("float32")
    whole = kc.CurvaturePenalty(Quadratic(), 1.0, seed=0)
    first = kc.CurvaturePenalty(Quadratic(), 1.0, seed=0, output=0)
    assert penalty_of(whole, x) == pytest.approx(5 * penalty_of(first, x), rel=1e-5)
    # A scale of nearly one input only: every direction is nearly along it.
    along = kc.CurvaturePenalty(Quadratic(), 1.0, output=0, scale=[1.0, 1e-4, 1e-4], seed=0)
    assert penalty_of(along, x) == pytest.approx(A[0, 0] ** 2, rel=0.05)


def test_a_column_that_is_constant_in_the_batch_is_not_moved():
    """A Normalization that was adapted to it scales up every step along it by 1e7."""
    x = RNG.normal(size=(64, 2)).astype("float32")
    x[:, 1] = 7
    net = network("tanh")

    def behind(factor):
        scale = layers.Rescaling([1.0, factor], [0.0, -7 * factor])
        return keras.Sequential([keras.Input((2,)), scale, net])

    magnified, pinned = (
        penalty_of(kc.CurvaturePenalty(behind(factor), 1.0, scale="auto", seed=0), x)
        for factor in (1e7, 0.0)
    )
    assert magnified == pytest.approx(pinned, rel=1e-6)
    assert pinned > 0


def test_kinks_are_seen_at_a_scale_only():
    net, x = network("relu"), RNG.normal(size=(64, 2)).astype("float32")
    assert penalty_of(kc.CurvaturePenalty(net, 1.0), x) == 0
    assert penalty_of(kc.CurvaturePenalty(net, 1.0, scale=0.3), x) > 0.01
    assert penalty_of(kc.CurvaturePenalty(net, 1.0, scale="auto"), x) > 0.01


@pytest.mark.every(2)
@pytest.mark.usefixtures("losses_in_float64")
@pytest.mark.parametrize("scale", [None, 0.3])
def test_gradients_by_the_weights_match_differences_of_the_loss(scale):
    net = network(dtype="float64")
    layer = kc.CurvaturePenalty(net, 1.0, scale=scale, seed=1, directions=2, dtype="float64")
    x = tf.constant(RNG.normal(size=(4, 2)))
    layer(x)
    seed = next(v for v in layer.variables if "seed" in v.path)
    fixed = seed.numpy()
    kernel, start = net.layers[0].kernel, net.layers[0].kernel.numpy()
    shift = RNG.normal(size=start.shape)

    def along(t):
        kernel.assign(start + t * shift)
        seed.assign(fixed)  # the same directions each time
        return penalty_of(layer, x)

    wanted = truth.gradient(
        lambda points: np.array([[along(t)] for t in points[:, 0]]), np.zeros((1, 1)), h=1e-3
    )[0, 0, 0]
    kernel.assign(start)
    seed.assign(fixed)
    with tf.GradientTape() as tape:
        layer(x, training=True)
        (loss,) = layer.losses
    found = np.sum(tape.gradient(loss, kernel) * shift)
    # Rounding leaves 1e-14 / h of the loss.
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def noisy_line(n=64):
    rng = np.random.default_rng(1)
    x = np.linspace(-1, 1, n)[:, None].astype("float32")
    return x, (x + 0.3 * rng.normal(size=x.shape)).astype("float32")


STRENGTHS = [0.0, 1e-2, 1e-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "scale", "number"), [("tanh", None, "rms"), ("relu", 0.2, "scale_rms")]
)
def test_the_monitored_curvature_goes_down_with_strength(activation, scale, number):
    x, y = noisy_line()
    curvature = []
    for strength in STRENGTHS:
        net = network(activation, inputs=1)
        net.layers[0].kernel.assign(4 * net.layers[0].kernel)
        layer = kc.CurvaturePenalty(net, strength, scale=scale, seed=0)
        model = keras.Sequential([keras.Input((1,)), layer])
        model.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
        monitor = kc.CurvatureMonitor((x, y), freq=60, scale=0.2, batch_size=32)
        model.fit(x, y, batch_size=64, epochs=60, verbose=0, callbacks=[monitor])
        curvature.append(monitor.history[number][-1])
    assert curvature[0] > 1.5 * curvature[1] > 4 * curvature[2], curvature


@pytest.mark.slow
def test_the_reported_loss_separates_the_penalty():
    x, y = noisy_line()
    net = network(inputs=1)
    model = keras.Sequential([keras.Input((1,)), kc.CurvaturePenalty(net, 0.3)])
    model.compile("sgd", "mse", metrics=["mse"], jit_compile=False)
    history = model.fit(x, y, validation_data=(x, y), epochs=3, verbose=0).history
    assert min(history["curvature_penalty"]) > 0
    total = np.add(history["mse"], history["curvature_penalty"])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], history["val_mse"], rtol=1e-5)
    assert history["val_curvature_penalty"] == [0, 0, 0]
    assert model.evaluate(x, y, verbose=0, return_dict=True)["curvature_penalty"] == 0
    np.testing.assert_array_equal(model.predict(x, verbose=0), net.predict(x, verbose=0))


@pytest.mark.parametrize(
    "way",
    [{"run_eagerly": True}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)],
    ids=str,
)
def test_every_way_to_train_adds_the_same(way):
    x, y = noisy_line()
    found = []
    for options in ({"jit_compile": False}, way):
        layer = kc.CurvaturePenalty(network(inputs=1), 0.3, seed=5, scale=0.2)
        model = keras.Sequential([keras.Input((1,)), layer])
        model.compile("sgd", "mse", **options)
        found.append(model.fit(x, y, shuffle=False, verbose=0).history)
    for name in ("loss", "curvature_penalty"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-4)


def test_the_output_is_the_wrapped_model_s_in_every_mode():
    """Dropout drops in training; the penalty is of the model without."""
    net = keras.Sequential([keras.Input((3,)), Quadratic(), layers.Dropout(0.5)])
    layer = kc.CurvaturePenalty(net, 1.0, seed=0)
    x = np.ones((50, 3), "float32")
    without = penalty_of(kc.CurvaturePenalty(Quadratic(), 1.0, seed=0), x)
    dropped = layer(x, training=True)
    assert np.any(dropped.numpy() == 0)
    assert float(layer.losses[0]) == pytest.approx(without, rel=1e-5)  # in the same directions
    np.testing.assert_array_equal(layer(x), net(x))
    assert layer.losses == []


def test_several_inputs_and_a_layer_to_differentiate_by():
    ids, z = keras.Input((2,), dtype="int32", name="ids"), keras.Input((3,), name="z")
    embedded = layers.Flatten()(layers.Embedding(5, 2, name="embedding")(ids))
    hidden = layers.Dense(4, "tanh")(layers.Concatenate()([embedded, z]))
    net = keras.Model({"ids": ids, "z": z}, {"one": layers.Dense(1)(hidden), "all": hidden})
    x = {"ids": np.ones((5, 2), "int32"), "z": RNG.normal(size=(5, 3)).astype("float32")}
    for options in ({"wrt": "embedding"}, {"wrt": "z", "output": "one"}, {"wrt": ["z"]}):
        layer = kc.CurvaturePenalty(net, 1.0, **options)
        assert penalty_of(layer, x) > 0
        np.testing.assert_array_equal(layer(x)["all"], net(x)["all"])


def test_it_is_saved_and_loaded(tmp_path):
    x, y = noisy_line()
    layer = kc.CurvaturePenalty(network(inputs=1), 0.3, scale=np.array([0.2]), seed=5)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    # The random directions go on where they were.
    again = [m.fit(x, y, shuffle=False, verbose=0).history for m in (model, loaded)]
    assert again[0]["curvature_penalty"] == pytest.approx(again[1]["curvature_penalty"], rel=1e-4)


WRONG = {
    "negative": ({"strength": -1.0}, ValueError, "at least 0"),
    "not a number": ({"strength": float("nan")}, ValueError, "finite"),
    "a word": ({"strength": "high"}, ValueError, "finite number.*'high'"),
    "directions": ({"strength": 1.0, "directions": 0}, ValueError, "at least 1"),
    "half a direction": ({"strength": 1.0, "directions": 1.5}, ValueError, "an int of at least 1"),
    "scale": ({"strength": 1.0, "scale": -0.1}, ValueError, "positive"),
    "output": ({"strength": 1.0, "output": "z"}, ValueError, "'z'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_come_before_training(name):
    options, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        kc.CurvaturePenalty(network(), **options)(keras.Input((2,)))
