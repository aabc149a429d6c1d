"""All kinks of piecewise-linear networks, where they are and how strong."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_curvature as kc
from keras_curvature.engines import chunking


def network(*middle, outputs=1, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((1,)), *middle, layers.Dense(outputs)])


def dense(units, activation="relu"):
    return layers.Dense(units, activation, bias_initializer="random_normal")


def by_hand(weights, biases, out):
    """`sum out * relu(weights * x + biases)`: kinks at -biases / weights."""
    model = network(layers.Dense(len(weights), "relu"))
    model.set_weights([np.array([weights]), np.array(biases), np.array(out)[:, None], np.zeros(1)])
    return model


def test_a_network_by_hand():
    found = kc.kinks(by_hand([1.0, -2.0, 0.5], [-0.5, 1.0, 0.25], [2.0, 1.0, -3.0]), -1, 1)
    # A unit changes the slope by out * |weight|; the first two share a place.
    np.testing.assert_allclose(found.positions, [-0.5, 0.5], rtol=1e-15)
    np.testing.assert_allclose(found.slope_changes, [[-1.5], [4.0]], rtol=1e-15)
    assert (found.low, found.high) == (-1, 1)


def enlarged(x):
    image = tf.raw_ops.ResizeNearestNeighbor(images=x[:, None, None], size=[2, 2])
    return image[:, 1, 1]


FUNCTIONS = {
    "relu": (keras.activations.relu, [0], [1]),
    "relu(max_value)": (lambda x: keras.activations.relu(x, 0.5, 2.0), [0, 2], [0.5, -1]),
    "relu6": (keras.activations.relu6, [0, 6], [1, -1]),
    "leaky_relu": (keras.activations.leaky_relu, [0], [0.8]),
    "hard_tanh": (getattr(keras.activations, "hard_tanh", None), [-1, 1], [1, -1]),
    "hard_sigmoid": (keras.activations.hard_sigmoid, [-3, 3], [1 / 6, -1 / 6]),
    "soft_shrink": (getattr(keras.activations, "soft_shrink", None), [-0.5, 0.5], [-1, 1]),
    "sparse_sigmoid": (getattr(keras.activations, "sparse_sigmoid", None), [-1, 1], [0.5, -0.5]),
    "LeakyReLU": (layers.LeakyReLU(0.3), [0], [0.7]),
    "abs": (ops.abs, [0], [2]),
    "maximum": (lambda x: ops.maximum(2 * x, x + 1), [1], [1]),
    "minimum with a constant": (lambda x: ops.minimum(x, 2.0), [2], [-1]),
    "clip": (lambda x: tf.clip_by_value(x, -2.0, 3.0), [-2, 3], [1, -1]),
    "max": (lambda x: ops.max(ops.concatenate([-x, 0 * x + 1, 2 * x], 1), 1), [-1, 0.5], [1, 2]),
    "min": (lambda x: ops.min(ops.concatenate([x, 0 * x + 1], 1), 1, keepdims=True), [1], [-1]),
    "where": (lambda x: tf.where(x > 1, 3 * x, x + 2), [1], [2]),
    "sign times": (lambda x: x * tf.sign(x), [0], [2]),
    "quotient": (lambda x: tf.nn.relu(x) / 4, [0], [0.25]),
    "no quotient by 0": (lambda x: tf.math.divide_no_nan(tf.nn.relu(x), 4.0), [0], [0.25]),
    "checked": (lambda x: tf.debugging.check_numerics(tf.nn.relu(x), "lost"), [0], [1]),
    "triangle": (lambda x: tf.linalg.band_part(tf.nn.relu(x), -1, 0), [0], [1]),
    "enlarged": (lambda x: enlarged(tf.nn.relu(x)), [0], [1]),
    "there and back": (lambda x: tf.signal.irfft(tf.signal.rfft(tf.nn.relu(x)), [1]), [0], [1]),
    "in segments": (
        lambda x: tf.transpose(tf.math.unsorted_segment_sum([tf.nn.relu(x[:, 0])], [0], 1)),
        [0],
        [1],
    ),
    "kink of a kink": (lambda x: tf.abs(tf.abs(x) - 1), [-1, 0, 1], [2, -2, 2]),
    "line": (lambda x: 3 * x + 1, [], []),
    "constant": (lambda x: 0 * x + 1, [], []),
    "in a function": (tf.function(lambda x: tf.nn.relu(x - 1)), [1], [1]),
}
FUNCTIONS = {name: row for name, row in FUNCTIONS.items() if row[0] is not None}  # older Keras


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_with_known_kinks(name):
    function, positions, changes = FUNCTIONS[name]
    found = kc.kinks(function, -7.3, 8.1)
    np.testing.assert_allclose(found.positions, positions, atol=1e-14)
    # Keras and TensorFlow keep an activation's own constants, 0.2 say, in float32.
    np.testing.assert_allclose(found.slope_changes.ravel(), changes, rtol=1e-7)


def prelu():
    model = network(dense(12, None), layers.PReLU(), dense(8, "hard_tanh"))
    model.layers[1].set_weights([np.linspace(-0.5, 1.5, 12)])
    return model


def normalized():
    model = network(dense(32, None), layers.BatchNormalization(), layers.ReLU(), dense(16, "relu6"))
    rng = np.random.default_rng(0)
    model.layers[1].set_weights([rng.uniform(0.5, 2, 32) for _ in range(4)])
    return model


def residual():
    keras.utils.set_random_seed(0)
    x = keras.Input((1,))
    first = dense(16)(x)
    shared = dense(16, "leaky_relu")
    second = layers.Add()([first, shared(shared(first))])
    third = layers.Concatenate()([ops.maximum(first, second), abs(second), x])
    return keras.Model(x, layers.Dense(2)(layers.Dropout(0.5)(third)))


def convolutional():
    return network(
        dense(24),
        layers.Reshape((12, 2)),
        layers.Conv1D(4, 3, activation="relu", bias_initializer="random_normal"),
        layers.GlobalMaxPooling1D(),
    )


NETWORKS = {
    "1024 units": lambda: network(dense(1024)),
    "deep": lambda: network(*[dense(32) for _ in range(6)], outputs=3),
    "PReLU and hard_tanh": prelu,
    "BatchNormalization": normalized,
    "residual": residual,
    "convolution and pooling": convolutional,
}


@pytest.mark.every(2)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_against_slopes_and_curvature_at_a_scale(name):
    model = NETWORKS[name]()
    low, high = -1.03, 1.21
    found = kc.kinks(model, low, high)
    assert len(found.positions) > 8
    # The slope anywhere is the first slope and all changes up to there.
    x = np.concatenate([[low, high], np.random.default_rng(0).uniform(low, high, 200)])[:, None]
    slopes = kc.jacobian(model, x, dtype="float64").numpy()[..., 0]
    passed = (x > found.positions).astype(float)
    size = np.abs(slopes).max()
    np.testing.assert_allclose(slopes[0] + passed @ found.slope_changes, slopes, atol=1e-12 * size)
    # The curvature at a scale is the kinks averaged with the kernel.
    x = np.linspace(-0.7, 0.9, 9)[:, None]
    distance = np.abs(x - found.positions)
    weights = {
        "triangle": lambda h: np.maximum(0, 1 - distance / h) / h,
        "box": lambda h: (distance < h) / (2 * h),
    }
    for kernel, weight in weights.items():
        at_scales = kc.scale_curvature(model, x, [0.3, 1e-3], kernel=kernel, dtype="float64")
        for h, at_scale in zip([0.3, 1e-3], at_scales.numpy()[..., 0], strict=True):
            # rounding of values of size 1: 100 eps / h**2
            np.testing.assert_allclose(at_scale, weight(h) @ found.slope_changes, atol=1e-8)


@pytest.mark.parametrize("gap", [1e-6, 1e-9, 1e-12])
def test_two_kinks_very_near_to_each_other(gap):
    found = kc.kinks(lambda x: tf.nn.relu(x - 0.3) - 3 * tf.nn.relu(x - (0.3 + gap)), -1, 1)
    np.testing.assert_allclose(found.positions, [0.3, 0.3 + gap], rtol=4e-16)
    np.testing.assert_allclose(found.slope_changes.ravel(), [1, -3], rtol=1e-12)


def test_kinks_nearer_than_rounding_count_as_one():
    found = kc.kinks(lambda x: tf.nn.relu(x - 0.3) - 3 * tf.nn.relu(x - (0.3 + 1e-15)), -1, 1)
    np.testing.assert_allclose(found.positions, [0.3], rtol=4e-15)
    np.testing.assert_allclose(found.slope_changes.ravel(), [-2], rtol=1e-12)


def test_a_deep_bump_that_touches_nothing_at_either_side_is_found():
    """Value and slope are 0 at both ends and on almost all of the way."""

    def bump(x):
        return tf.nn.relu(1 - tf.abs(1e6 * (x - 0.123456)))

    found = kc.kinks(bump, -1, 1)
    np.testing.assert_allclose(found.positions, 0.123456 + np.array([-1e-6, 0, 1e-6]), rtol=1e-12)
    np.testing.assert_allclose(found.slope_changes.ravel(), [1e6, -2e6, 1e6], rtol=1e-12)


def test_units_that_never_switch_or_do_not_count_have_no_kinks():
    model = by_hand(
        [1.0, 1.0, 1.0, 0.0, 1.0], [-5.0, 5.0, 0.5, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0, 2.0]
    )
    found = kc.kinks(model, -1, 1)  # never on, always on, weight 0 out, weight 0 in, and one
    np.testing.assert_array_equal(found.positions, [0])
    np.testing.assert_array_equal(found.slope_changes, [[2]])


def test_what_only_rounding_leaves_of_a_kink_is_none():
    def function(x):
        ramp = tf.nn.relu(x - 0.25)
        return tf.nn.relu(-x) + (0.1 * ramp + 0.2 * ramp - 0.3 * ramp)  # 0.1 + 0.2 > 0.3

    np.testing.assert_allclose(kc.kinks(function, -1, 1).positions, [0], atol=1e-16)


def test_a_dead_network_has_no_kinks():
    model = network(dense(8), dense(8))
    model.layers[1].set_weights([-np.ones((8, 8)), -np.ones(8)])
    assert len(kc.kinks(model, -1, 1).positions) == 0


def test_kinks_at_the_ends_are_not_between_them():
    found = kc.kinks(lambda x: tf.abs(x) + tf.abs(x - 1) + tf.abs(x - 0.25), 0, 1)
    np.testing.assert_array_equal(found.positions, [0.25])


def test_without_biases_all_kinks_are_at_zero():
    """As in an untrained network: units by the thousand switch in one place."""
    model = network(*[layers.Dense(64, "relu") for _ in range(3)])
    found = kc.kinks(model, -1, 1.7)
    np.testing.assert_allclose(found.positions, [0], atol=1e-15)


def test_far_from_zero():
    found = kc.kinks(lambda x: tf.nn.relu(x - 1000.25) + tf.nn.relu(x - 1000.5), 1000, 1001)
    np.testing.assert_array_equal(found.positions, [1000.25, 1000.5])


def test_several_outputs_share_positions():
    x = keras.Input((1,))
    outputs = {"a": ops.relu(x), "b": ops.concatenate([abs(x - 0.5), 2 * ops.relu(x)], 1)}
    model = keras.Model(x, outputs)
    found = kc.kinks(model, -1, 1)
    np.testing.assert_allclose(found.positions, [0, 0.5], atol=1e-16)
    np.testing.assert_array_equal(found.slope_changes["a"], [[1], [0]])
    np.testing.assert_array_equal(found.slope_changes["b"], [[0, 2], [2, 0]])
    only = kc.kinks(model, -1, 1, output="a")
    np.testing.assert_array_equal(only.slope_changes, [[1]])
    np.testing.assert_array_equal(only.positions, found.positions[:1])


def test_along_a_line_through_several_inputs():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), dense(40), dense(40), layers.Dense(1)])
    start, end = np.random.default_rng(0).normal(size=(2, 5))
    start, end = start.astype("float32"), end.astype("float32")

    def line(t):
        return model(start + t * (end - start))

    found = kc.kinks(line, 0, 1)
    assert len(found.positions) > 10
    both = kc.jacobian(model, np.stack([start, end]), dtype="float64").numpy()[:, 0] @ (end - start)
    assert found.slope_changes.sum() == pytest.approx(both[1] - both[0], rel=1e-9)


@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "float32"])
def test_any_dtype(policy):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((1,)), layers.Dense(9, "relu", dtype=policy), layers.Dense(1, dtype=policy)]
    )
    model.layers[0].set_weights([np.ones((1, 9)), -np.arange(9) / 8])
    found = kc.kinks(model, -0.5, 1.5)
    np.testing.assert_allclose(found.positions, np.arange(9) / 8, atol=1e-15)
    np.testing.assert_allclose(found.slope_changes, model.layers[1].get_weights()[0], rtol=1e-6)


def test_chunks_change_nothing(monkeypatch):
    model = network(dense(40), dense(30), outputs=2)
    whole = kc.kinks(model, -1, 1)
    monkeypatch.setattr(chunking, "MEMORY_BUDGET", 10_000)
    parts = kc.kinks(model, -1, 1)
    np.testing.assert_allclose(parts.positions, whole.positions, rtol=1e-13)
    np.testing.assert_allclose(parts.slope_changes, whole.slope_changes, rtol=1e-9)


def two_inputs():
    x, y = keras.Input((1,)), keras.Input((1,))
    return keras.Model([x, y], x + y)


def recurrent():
    return network(layers.Reshape((1, 1)), layers.SimpleRNN(3, "relu", name="turns"))


REFUSED = {
    "curved": (lambda: network(layers.Dense(4, "tanh", name="bent")), "Tanh in layer 'bent'"),
    "product": (lambda: lambda x: x * tf.nn.relu(x), "Mul in the op"),
    "hard_silu": (lambda: keras.activations.hard_silu, "Mul in the op"),
    "quotient": (lambda: lambda x: 1 / (x + 3), "RealDiv in the op"),
    "square": (lambda: tf.square, "Square in the op"),
    "floor": (lambda: lambda x: x + tf.floor(x), "Floor in the op"),
    "integers": (lambda: lambda x: x + tf.cast(tf.cast(x, tf.int32), x.dtype), "Cast in the op"),
    "stopped": (lambda: lambda x: tf.stop_gradient(x) + x, "StopGradient in the op"),
    "loop": (recurrent, "in layer 'turns'"),
    "step": (lambda: lambda x: x + tf.sign(x), "not continuous and piecewise linear: between"),
    "jump": (lambda: keras.activations.hard_shrink, "not continuous and piecewise linear"),
    "not finite": (lambda: lambda x: tf.nn.relu(x * np.inf), "not finite"),
    "two inputs": (two_inputs, "a model of one number"),
    "two numbers": (lambda: keras.Sequential([keras.Input((2,)), layers.ReLU()]), "of one number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_piecewise_linear_is_refused_by_name(case):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        kc.kinks(make(), -1, 1)


@pytest.mark.parametrize("ends", [(1, 1), (1, -1), (np.nan, 1), (0, np.inf), ([0], [1])])
def test_ends_must_be_finite_and_increasing(ends):
    with pytest.raises(ValueError, match="low < high"):
        kc.kinks(tf.abs, *ends)


def test_not_inside_a_function():
    with pytest.raises(ValueError, match="called eagerly"):
        tf.function(lambda: kc.kinks(tf.abs, -1, 1), autograph=False)()
