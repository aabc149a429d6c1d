"""What carries a derivative, and what is said when nothing does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc
from keras_curvature.engines.tensorflow.activity_analysis import activity_of
from keras_curvature.engines.tensorflow.tracing import trace

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def with_layer(function, name="culprit"):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(3, "tanh", name="before"),
            layers.Lambda(function, name=name),
            layers.Dense(1, name="after"),
        ]
    )


def through_python(function):
    return lambda x: tf.ensure_shape(function(lambda z: z**2, [x], tf.float32), (None, 3))


REFUSED = {
    "argmax": (
        lambda x: tf.one_hot(tf.argmax(x, -1), 3),
        r"only through ops without a derivative: ArgMax in layer 'culprit'",
    ),
    "rounding": (tf.round, "Round in layer 'culprit'"),
    "integers": (lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32), "Cast in layer 'culprit'"),
    "comparison": (lambda x: tf.cast(x > 0, tf.float32), "Greater in layer 'culprit'"),
    "py_function": (through_python(tf.py_function), "EagerPyFunc in layer 'culprit'"),
    "numpy_function": (through_python(tf.numpy_function), "PyFunc in layer 'culprit'"),
    "ranks": (
        lambda x: tf.cast(tf.argsort(x), tf.float32),
        "TopKV2 in layer 'culprit'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_differentiated_names_the_op_and_the_layer(case):
    function, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        kc.hessian(with_layer(function), X)


def test_a_second_derivative_that_tensorflow_lacks_names_them_too():
    def erode(x):
        image = tf.nn.erosion2d(
            x[:, :, None, None], tf.ones((2, 1, 1)), [1, 1, 1, 1], "SAME", "NHWC", [1, 1, 1, 1]
        )
        return image[:, :, 0, 0]

    model = with_layer(erode)
    with pytest.raises(ValueError, match=r"Dilation2D in layer 'culprit'.*finite_difference"):
        kc.hessian(model, X)
    assert np.isfinite(kc.hessian(model, X, engine="finite_difference")).all()


def test_a_cut_path_beside_a_active_one_is_fine():
    """What a mask or a rounding does to one path is 0 almost everywhere on that path."""
    model = with_layer(lambda x: x**2 * tf.cast(x > 0, tf.float32) + tf.round(x))
    found = kc.hessian(model, X).numpy()
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, kc.hessian(model, X, engine="finite_difference"), atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [lambda x: tf.zeros_like(x), lambda x: tf.ones(tf.shape(x)), tf.stop_gradient],
    ids=["zeros", "shape only", "stop_gradient"],
)
def test_no_dependence_is_a_derivative_of_zero(function):
    np.testing.assert_array_equal(kc.hessian(with_layer(function), X), np.zeros((4, 1, 3, 3)))


def test_dependence_through_a_loop_that_hands_it_round():
    """x enters the first variable and reaches the last one after three turns."""

    def rotate(x):
        zero = tf.zeros_like(x)
        return tf.while_loop(
            lambda i, *_: i < 3, lambda i, a, b, c: (i + 1, a, a**2, b), [0, x, zero, zero]
        )[3]

    found = kc.hessian_diagonal(with_layer(rotate), X)
    truth = kc.hessian_diagonal(with_layer(lambda x: x**2), X)
    assert np.abs(truth).max() > 0.1
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-6)  # float32


def test_coupled_examples_are_warned_of():
    with pytest.warns(UserWarning, match="influence each other"):
        kc.hessian(lambda x: x**2 - tf.reduce_mean(x, axis=0), X)


def test_random_models_are_warned_of():
    with pytest.warns(UserWarning, match="or it is random"):
        kc.hessian(lambda x: x**2 + tf.random.normal(tf.shape(x)), X)


def test_independent_examples_are_not(recwarn):
    kc.hessian(with_layer(tf.sin), X)
    assert not [w for w in recwarn if "influence" in str(w.message)]


def nested_twice():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3), layers.Dense(3, "relu")])
    x = keras.Input((3,))
    return keras.Model(x, layers.Dense(1)(inner(inner(x))))


def in_a_row():
    return keras.Sequential([keras.Input((3,)), *map(layers.Dense, (4, 4, 1))])


@pytest.mark.parametrize("build", [in_a_row, nested_twice])
def test_ops_are_of_the_layer_that_has_the_weights(build):
    """TensorFlow numbers name scopes anew: what `dense` does is in the scope `dense_1`."""
    keras.utils.clear_session(free_memory=False)
    model = build()
    weighted = [layer for layer in model._flatten_layers() if isinstance(layer, layers.Dense)]
    leaves = [tf.TensorSpec([None, 3])]
    traced = trace(model, leaves, None, lambda y: y)
    names = [layer.name for layer in weighted]
    active = activity_of(traced, traced.inputs, names).active
    products = [place.layer for place in active if place.op_type == "MatMul"]
    assert products[0] == "dense"
    assert set(products) == set(names)
    assert all("call" not in layer.__dict__ for layer in weighted)
