"""What re-emitting a graph keeps, and what it changes on purpose."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))


def network(dtype="float32", seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((3,), dtype="float64" if dtype == "float64" else None),
            layers.Dense(64, "tanh", dtype=dtype),
            layers.Dense(64, "gelu", dtype=dtype),
            layers.LayerNormalization(dtype=dtype),
            layers.Dense(1, dtype=dtype),
        ]
    )


def relative(found, truth):
    """Frobenius norm of the error over that of the truth, the whole batch together."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def differences(function, x, h=1e-5):
    """The Hessian of a float64 function of a batch by central differences of its gradient.

    TensorFlow's first derivatives are right in all cases below.
    """

    def gradient(x):
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(function(x))
        return tape.gradient(y, x).numpy()

    flat = x.reshape(len(x), -1)
    columns = []
    for e in h * np.eye(flat.shape[1]):
        step = e.reshape(x.shape[1:])
        columns.append((gradient(x + step) - gradient(x - step)).reshape(len(x), -1) / (2 * h))
    return np.stack(columns, axis=-1)


def tensorflows_own(function, x):
    """The Hessian as everybody computes it: nested tapes and `batch_jacobian`."""
    x = tf.constant(x)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(function(x))
        gradient = inner.gradient(y, x)
    size = x.shape[1:].num_elements()
    return tf.reshape(outer.batch_jacobian(gradient, x), [-1, size, size]).numpy()


def moments(x):
    return tf.nn.moments(tf.sin(x), [-1], keepdims=True)[1]


def bilinear(x):
    return tf.image.resize(tf.sin(x), (5, 3)) ** 2


SILENTLY_WRONG = {
    "moments": (moments, (4,)),
    "keras.ops.moments": (lambda x: keras.ops.moments(tf.sin(x), [-1], keepdims=True)[1], (4,)),
    "LayerNormalization": (layers.LayerNormalization(dtype="float64"), (4,)),
    "GroupNormalization": (layers.GroupNormalization(2, dtype="float64"), (4,)),
    "bilinear resizing": (bilinear, (3, 2, 1)),
    # TensorFlow forgets that the first derivative depends on the labels.
    "cross entropy": (
        lambda x: tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(x**2), x)[:, None],
        (3,),
    ),
    # Not the derivative but `batch_jacobian`: it vectorises a roll along another axis.
    "roll": (lambda x: tf.roll(x, 1, axis=-1) * x, (4,)),
}


@pytest.mark.every(2)
@pytest.mark.parametrize("name", SILENTLY_WRONG)
def test_right_where_tensorflow_is_silently_wrong(name):
    """Fails by its second assertion on the day on which TensorFlow is mended."""
    function, shape = SILENTLY_WRONG[name]
    x = np.random.default_rng(0).normal(size=(3, *shape))

    def curved(x):  # a normalised row has a constant sum: look at another function of it
        y = tf.cast(function(x), tf.float64)
        size = y.shape[1:].num_elements()
        return tf.reduce_sum(tf.reshape(y, [-1, size]) ** 2 * np.arange(1.0, size + 1), axis=1)

    # TensorFlow resizes in float32: a wider step keeps its rounding out of the truth.
    step, tolerance = (2e-3, 1e-3) if "resizing" in name else (1e-5, 1e-6)
    truth = differences(curved, x, step)
    ours = kc.hessian(curved, x).numpy().reshape(truth.shape)
    own = relative(tensorflows_own(curved, x), truth)
    print(f"{name}: TensorFlow's own Hessian is {own:.1%} off")
    assert relative(ours, truth) < tolerance
    assert own > 0.01


MISSING = {
    "softsign": (tf.nn.softsign, (3,)),
    "bicubic resizing": (lambda x: tf.image.resize(tf.sin(x), (5, 3), "bicubic") ** 2, (3, 2, 1)),
    "nearest resizing": (lambda x: tf.image.resize(tf.sin(x), (5, 3), "nearest") ** 2, (3, 2, 1)),
    "lanczos resizing": (lambda x: tf.image.resize(tf.sin(x), (5, 3), "lanczos3") ** 2, (3, 2, 1)),
    "area resizing": (lambda x: tf.image.resize(tf.sin(x), (5, 3), "area") ** 2, (3, 2, 1)),
}


@pytest.mark.parametrize("name", MISSING)
def test_supplied_where_tensorflow_has_none(name):
    function, shape = MISSING[name]
    x = np.random.default_rng(0).normal(size=(3, *shape))
    with pytest.raises(Exception, match="gradient registry has no entry for"):
        tensorflows_own(function, x.astype("float32"))

    def summed(x):
        return tf.reduce_sum(function(x), axis=range(1, x.shape.rank))

    exact = kc.hessian(summed, x).numpy()
    by_differences = kc.hessian(summed, x, engine="finite_difference").numpy()
    assert relative(exact, by_differences) < 1e-8
    assert np.abs(exact).max() > 0.01


def test_pools_of_one_do_not_lose_the_second_derivative_in_a_graph():
    """As in adaptive pooling; TensorFlow's own is 0 in the graph and right outside it."""

    def pool(x, size):
        return tf.nn.max_pool3d(x, size, 1, "VALID")

    def function(x):
        for axis, size in ((1, 2), (2, 2)):
            window = [size if a == axis else 1 for a in (1, 2, 3)]
            x = tf.gather(tf.concat([pool(x, window)] * 2, axis), [0, 2], axis=axis)
        return tf.reduce_sum(tf.tanh(pool(x, 1)) ** 2, axis=[1, 2, 3, 4])

    x = RNG.normal(size=(2, 4, 4, 2, 1)).astype("float32")
    exact = kc.hessian(function, x).numpy()
    slopes = kc.hessian(function, x, engine="finite_difference").numpy()
    assert np.abs(exact).max() > 0.1
    assert relative(exact, slopes) < 1e-3


def test_local_response_normalization():
    def function(x):
        return tf.nn.local_response_normalization(x[:, None, None], 1, alpha=0.3)[:, 0, 0]

    x = X.astype("float32")
    exact = kc.hessian(function, x).numpy()
    assert relative(exact, kc.hessian(function, x, engine="finite_difference")) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_narrow_models_are_evaluated_in_float32(policy):
    """The same numbers as the float32 model with these weights."""
    narrow, wide = network(policy), network()
    wide.set_weights([np.asarray(w).astype("float32") for w in narrow.get_weights()])
    found = kc.hessian(narrow, X)
    assert found.dtype == "float32"
    # Constants of the graph (epsilon of the normalisation) are rounded to the narrow dtype.
    assert relative(found.numpy(), kc.hessian(wide, X).numpy()) < 1e-3


def test_float64_brings_a_float32_network_closer_to_the_truth():
    model, wide = network(), network("float64")
    wide.set_weights(model.get_weights())
    truth = differences(lambda x: wide(x, training=False), X)
    errors = {
        dtype: relative(kc.hessian(model, X, dtype=dtype)[:, 0].numpy(), truth)
        for dtype in ("float32", "float64")
    }
    print(f"error in float32 {errors['float32']:.1e}, in float64 {errors['float64']:.1e}")
    assert errors["float64"] < 1e-7  # what the differences leave of 16 digits
    assert errors["float32"] > 10 * errors["float64"]
    assert model.dtype_policy.name == "float32"
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float32")}


@tf.custom_gradient
def straight_through(x):
    return tf.round(x), lambda upstream: upstream


@tf.custom_gradient
def log1pexp(x):
    e = tf.exp(x)
    return tf.math.log(1 + e), lambda upstream: upstream * (1 - 1 / (1 + e))


def test_a_straight_through_estimator_keeps_its_meaning():
    """d/dx round(x)**2 is written as 2 round(x), and its derivative as 2."""
    x = np.array([[1.3, -0.2]])
    for function in (
        lambda x: straight_through(x) ** 2,
        lambda x: (x + tf.stop_gradient(tf.round(x) - x)) ** 2,
    ):
        jacobian = np.diagonal(kc.jacobian(function, x)[0])
        np.testing.assert_array_equal(jacobian, 2 * np.round(x[0]))
        np.testing.assert_array_equal(kc.hessian_diagonal(function, x)[0], 2 * np.eye(2))


def test_a_gradient_rewritten_for_stability_is_differentiated():
    sigmoid = 1 / (1 + np.exp(-X))
    found = kc.hessian_diagonal(log1pexp, X).numpy()
    np.testing.assert_allclose(found, [np.diag(s * (1 - s)) for s in sigmoid], atol=1e-12)


def test_a_stop_gradient_is_honoured_as_written():
    """Only the one inside moments is not: also not one beside a mean and a square."""

    def function(x):
        mean = tf.stop_gradient(tf.reduce_mean(x, -1, keepdims=True))
        return tf.reduce_sum((x - mean) ** 2, -1)

    np.testing.assert_allclose(kc.hessian(function, X)[0], 2 * np.eye(3))

    def weighted(x):
        mean = tf.stop_gradient(tf.reduce_mean(x, -1, keepdims=True))
        return tf.reduce_sum(tf.math.squared_difference(x, mean) * [1.0, 2.0, 3.0], -1)

    np.testing.assert_allclose(kc.hessian(weighted, X)[0], np.diag([2.0, 4.0, 6.0]))


def test_functions_are_entered():
    @tf.function
    def inner(x):
        return moments(x) ** 2

    plain = kc.hessian(lambda x: moments(x) ** 2, X)
    np.testing.assert_allclose(kc.hessian(lambda x: inner(x), X), plain)


def test_a_function_for_xla_stays_one():
    """Grouped convolution has a gradient under XLA only on a CPU."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 4)),
            layers.Conv2D(4, 3, groups=2, activation="tanh"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    x = RNG.normal(size=(2, 4, 4, 4))
    exact = kc.hessian_diagonal(model, x, dtype="float64")
    by_differences = kc.hessian_diagonal(
        model, x, dtype="float64", engine="finite_difference"
    ).numpy()
    assert relative(exact.numpy(), by_differences) < 1e-6


CONTROL_FLOW = {
    "cond": lambda x: tf.map_fn(
        lambda r: tf.cond(r[0] > 0, lambda: moments(r[None])[0], lambda: tf.exp(r[:1])), x
    ),
    "switch_case": lambda x: tf.switch_case(tf.constant(1), [lambda: x[:, :1], lambda: moments(x)]),
    "switch_case, out of range": lambda x: tf.switch_case(
        tf.constant(7), [lambda: x[:, :1], lambda: moments(x)]
    ),
    "while_loop": lambda x: tf.while_loop(
        lambda i, y: i < 3, lambda i, y: (i + 1, tf.sin(y) + moments(y)), [0, x]
    )[1],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROL_FLOW)
def test_defects_inside_loops_and_branches_are_mended_too(name):
    function = CONTROL_FLOW[name]
    truth = differences(lambda x: function(x) ** 2, X)
    own = relative(tensorflows_own(lambda x: function(x) ** 2, X), truth)
    ours = kc.hessian(lambda x: tf.reduce_sum(function(x) ** 2, axis=1), X).numpy()
    assert relative(ours, truth) < 1e-6
    assert own > 0.01


@pytest.mark.slow
def test_a_recurrent_network_under_xla():
    """TensorFlow's own second derivatives of RNN layers fail there."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5, 2)), layers.LSTM(4), layers.Dense(1)])
    x = RNG.normal(size=(3, 5, 2)).astype("float32")
    compiled = tf.function(lambda x: kc.laplacian(model, x), jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(x)), kc.laplacian(model, x), atol=1e-6)


@pytest.mark.parametrize("engine", ["taylor", "nested"])
def test_a_function_that_was_differentiated_by_others_first(engine):
    """TensorFlow gives the graph of each product with a Jacobian more results then."""

    def of_forward_mode(x):
        with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as forward:
            y = tf.sin(x) * tf.exp(x)
        return tf.reduce_sum(forward.jvp(y) ** 2, axis=1)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float64)])
    def second(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(of_forward_mode(x))
            slope = inner.gradient(y, x)
        return outer.gradient(slope, x)

    x = np.array([[0.1, 0.2], [0.3, -0.4]])
    true = np.exp(2 * x) * (4 + 8 * np.cos(2 * x))
    np.testing.assert_allclose(second(tf.constant(x)), true, rtol=1e-12)
    np.testing.assert_allclose(
        kc.hessian_diagonal(of_forward_mode, x, engine=engine), true, rtol=1e-12
    )
