"""What means something else in another dtype keeps its own, in an evaluation in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_curvature as kc
from keras_curvature.engines.tensorflow.dtype_sensitive_ops import deciding

X = np.array([[0.3, -0.7, 1.2], [-1.1, 0.4, 0.1]], "float32")


def exponent(x):
    """As `frexp` finds it."""
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(tf.bitcast(x, tf.int32), 23), 255) - 127


def rescaled(x):
    """From bits to numbers: 2 to the power of the exponent."""
    bits = tf.bitwise.bitwise_and(tf.bitcast(x, tf.int32), 255 << 23)
    return tf.stop_gradient(tf.bitcast(bits, tf.float32))


def hashed(_):
    digits = tf.strings.format("{}", tf.constant(0.1))
    return tf.cast(tf.strings.to_hash_bucket_fast(digits, 1000), tf.float32)


TABLE = tf.lookup.StaticHashTable(
    tf.lookup.KeyValueTensorInitializer([0, 1, 2], tf.constant([0.1, 0.2, 0.3])), 0.0
)


WEIGHTS = tf.Variable([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])

FACTORS = {
    # bits and digits
    "argmax": lambda x: ops.one_hot(ops.argmax(x, axis=1), 3),
    "argmin": lambda x: ops.one_hot(ops.argmin(x, axis=1), 3),
    "exponent": lambda x: tf.cast(exponent(x), x.dtype),
    "hashed_digits": hashed,
    "machine_precision": lambda x: (tf.math.nextafter(tf.constant(1.0), 2.0) - 1.0) * 1e7,
    "rescaled": rescaled,
    "signbit": lambda x: ops.cast(ops.signbit(x), x.dtype),
    "view": lambda x: ops.cast(ops.view(x, "int8")[:, 3::4] < 0, x.dtype),
    # stored or spelt out in a dtype
    "decoded": lambda _: tf.io.decode_raw(tf.constant(np.float32([1, 2, 3]).tobytes()), tf.float32),
    "embedded": lambda _: tf.nn.embedding_lookup(WEIGHTS, [1]),
    "looked_up": lambda _: TABLE.lookup(tf.range(3)),
    "parsed": lambda _: tf.strings.to_number(tf.constant(["16777217", "2", "3"])) - 16777210,
    # random numbers from a seed
    "random_normal": lambda _: tf.random.stateless_normal([3], [1, 2]),
    "random_uniform": lambda _: tf.random.stateless_uniform([3], [1, 2]),
    # rounding decides a number of things
    "place": lambda x: tf.gather([1.0, 2.0, 3.0], tf.cast(tf.floor(ten(x) * 0.7) - 5, tf.int32)),
    "range": lambda _: tf.reduce_sum(tf.range(0.0, 7.0, 0.7)),
    "size": lambda x: tf.reduce_sum(tf.ones([tf.cast(ten(x) * 0.7, tf.int32)])),
    "whole_and_part": lambda x: whole_and_part(ten(x)),
}
"""What x² is multiplied with: constant around the points, so that 2 of it is the curvature."""


def ten(x):
    """As a size that is known when the graph runs."""
    return 9.0 + tf.cast(tf.shape(x)[1] // 3, tf.float32)


def whole_and_part(size):
    """The index and the weight are found in two ways, and must be of one number."""
    below = tf.cast(size * 0.7, tf.int32)
    part = size * 0.7 - tf.floor(size * 0.7)
    table = tf.range(20.0)
    return (1 - part) * tf.gather(table, below) + part * tf.gather(table, below + 1)


@pytest.mark.every(9)
@pytest.mark.parametrize("engine", ["taylor", "nested", "finite_difference"])
@pytest.mark.parametrize("name", FACTORS)
def test_a_float32_model_means_the_same_in_float64(name, engine):
    factor = FACTORS[name]
    constant = factor(tf.constant(X)).numpy().astype("float64")
    found = kc.derivatives(
        lambda x: factor(x) * x**2, X, ["value", "laplacian"], engine=engine, dtype="float64"
    )
    # A sum of ten terms of float32 has 1e-6; differences of gradients have 1e-9.
    np.testing.assert_allclose(found["value"], constant * X.astype("float64") ** 2, rtol=1e-6)
    laplacian = 2 * constant + np.zeros(X.shape)
    np.testing.assert_allclose(found["laplacian"], laplacian, rtol=1e-6, atol=1e-8)


def experts(x):
    """Three functions, of which the largest input chooses one."""
    chosen = ops.one_hot(ops.argmax(x, axis=1), 3)
    each = ops.sin(x * ops.convert_to_tensor([1.0, 2.0, 3.0]))
    return ops.sum(chosen * each, axis=1, keepdims=True)


def mixture():
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(experts)])
    model.compile("sgd", "mse")
    return model


def test_a_mixture_of_experts_over_a_distance():
    """Evaluated in float64 by itself."""

    def value(x):
        return np.sin(x * [1, 2, 3])[np.arange(len(x)), np.argmax(x, axis=1)]

    h, x = 0.05, X.astype("float64")
    steps = h * np.eye(3)
    truth = [(value(x + s) - 2 * value(x) + value(x - s)) / h**2 for s in steps]
    found = kc.scale_curvature(mixture(), X, h).numpy()[:, 0]
    np.testing.assert_allclose(found, np.stack(truth, axis=1), atol=1e-5)


def test_a_mixture_of_experts_is_monitored():
    model = mixture()
    monitor = kc.CurvatureMonitor(X, units="raw")
    model.fit(X, np.zeros((2, 1)), epochs=1, verbose=0, callbacks=[monitor])
    scale, place = np.array([1, 2, 3]), np.argmax(X, axis=1)
    curvature = -(scale[place] ** 2) * np.sin(X.max(axis=1) * scale[place])
    np.testing.assert_allclose(monitor.history["mean"][-1], curvature.mean(), rtol=1e-5)


def test_only_what_decides_without_data_keeps_its_dtype():
    def function(x):
        size = tf.cast(ten(x) * 0.7, tf.int32)
        return tf.cast(x > 0.5, tf.float32) * tf.cast(size, tf.float32) * tf.sqrt(ten(x))

    spec = tf.TensorSpec([None, 3])
    graph = tf.function(function, autograph=False).get_concrete_function(spec).graph
    found = deciding(graph.get_operations())
    assert (
        {"Cast", "Mul", "AddV2"} <= {op.type for op in found} <= {"Cast", "Mul", "AddV2", "Const"}
    )
    assert not any(op.type in {"Greater", "Sqrt"} for op in found)
