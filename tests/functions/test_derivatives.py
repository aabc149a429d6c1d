"""The public functions against closed forms: every engine, every way of calling."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc

ENGINES = ["taylor", "nested", "finite_difference"]
NAMES = [
    "value",
    "jacobian",
    "hessian",
    "hessian_diagonal",
    "laplacian",
    "directional_curvature",
    "hessian_vector_product",
]


@dataclass(frozen=True)
class ClosedForm:
    """A function of a batch, with its value, gradient and Hessian known.

    `value`, `jacobian` and `hessian` take one example and return NumPy arrays of shape
    `output_shape`, `(*output_shape, *input_shape)`, `(*output_shape, *input_shape x 2)`.
    """

    function: Callable[[Any], Any]
    input_shape: tuple[int, ...]
    value: Callable[[np.ndarray], np.ndarray]
    jacobian: Callable[[np.ndarray], np.ndarray]
    hessian: Callable[[np.ndarray], np.ndarray]


QUADRATIC = np.array([[1.0, 2.0, -1.0], [0.0, 3.0, 0.5], [2.0, 1.0, -2.0]])
SYMMETRIC = QUADRATIC + QUADRATIC.T

CLOSED_FORMS = {
    # one output, mixed second derivatives, not symmetric as written
    "quadratic form": ClosedForm(
        lambda x: tf.reduce_sum(x * (x @ tf.constant(QUADRATIC, x.dtype)), 1, keepdims=True),
        (3,),
        lambda x: np.array([x @ QUADRATIC @ x]),
        lambda x: (SYMMETRIC @ x)[None],
        lambda x: SYMMETRIC[None],
    ),
    # no output axis at all: nothing is squeezed, nothing is added
    "scalar output": ClosedForm(
        lambda x: tf.exp(x[:, 0]) * tf.sin(x[:, 1]),
        (2,),
        lambda x: np.exp(x[0]) * np.sin(x[1]),
        lambda x: np.exp(x[0]) * np.array([np.sin(x[1]), np.cos(x[1])]),
        lambda x: (
            np.exp(x[0]) * np.array([[np.sin(x[1]), np.cos(x[1])], [np.cos(x[1]), -np.sin(x[1])]])
        ),
    ),
    # several outputs, input and output with more than one axis
    "matrix to matrix": ClosedForm(
        lambda x: tf.stack([x**3, tf.sin(x)], axis=1),
        (2, 2),
        lambda x: np.stack([x**3, np.sin(x)]),
        lambda x: np.stack([_on_diagonal(3 * x**2, 2), _on_diagonal(np.cos(x), 2)]),
        lambda x: np.stack([_on_diagonal(6 * x, 3), _on_diagonal(-np.sin(x), 3)]),
    ),
    "linear": ClosedForm(
        lambda x: 2 * x[:, :1] - x[:, 1:],
        (2,),
        lambda x: np.array([2 * x[0] - x[1]]),
        lambda x: np.array([[2.0, -1.0]]),
        lambda x: np.zeros((1, 2, 2)),
    ),
}


def _on_diagonal(values: np.ndarray, copies: int) -> np.ndarray:
    """`values[i, j]` where all `copies` index pairs agree, 0 elsewhere."""
    result = np.zeros(values.shape * copies)
    for index in np.ndindex(values.shape):
        result[index * copies] = values[index]
    return result


def expected(form: ClosedForm, x: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
    axes = len(form.input_shape)
    results: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for example, direction in zip(x, v, strict=True):
        hessian = form.hessian(example)
        flat = hessian.reshape(*hessian.shape[: hessian.ndim - 2 * axes], example.size, -1)
        diagonal = np.diagonal(flat, axis1=-2, axis2=-1)
        product = flat @ direction.ravel()
        shape = (*flat.shape[:-2], *form.input_shape)
        results["value"].append(form.value(example))
        results["jacobian"].append(form.jacobian(example))
        results["hessian"].append(hessian)
        results["hessian_diagonal"].append(diagonal.reshape(shape))
        results["laplacian"].append(diagonal.sum(axis=-1))
        results["directional_curvature"].append(product @ direction.ravel())
        results["hessian_vector_product"].append(product.reshape(shape))
    return {name: np.array(values) for name, values in results.items()}


def eagerly(compute, x):
    return compute(x)


def in_function(compute, x):
    return tf.function(compute)(tf.constant(x))


def in_function_of_any_batch(compute, x):
    signature = [tf.TensorSpec([None, *x.shape[1:]], x.dtype)]
    return tf.function(compute, input_signature=signature)(tf.constant(x))


def under_xla(compute, x):
    return tf.function(compute, jit_compile=True)(tf.constant(x))


WAYS = [eagerly, in_function, in_function_of_any_batch, under_xla]


@pytest.mark.every(20)
@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms(name, engine, way, batch_size):
    form = CLOSED_FORMS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, *form.input_shape))
    v = rng.normal(size=(5, *form.input_shape))

    def compute(x):
        return kc.derivatives(form.function, x, NAMES, v=v, engine=engine, batch_size=batch_size)

    results = way(compute, x)
    for quantity, truth in expected(form, x, v).items():
        assert results[quantity].shape == truth.shape, quantity
        # Differences of gradients in float64 keep two thirds of its 16 digits.
        np.testing.assert_allclose(results[quantity], truth, atol=1e-8, err_msg=quantity)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "value"])
def test_each_function_gives_what_derivatives_gives(name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh")])
    x = np.random.default_rng(0).normal(size=(6, 3))
    v = [1.0, -2.0, 0.5]
    direction = {"v": v} if "direction" in name or "product" in name else {}
    one = getattr(kc, name)(model, x, **direction)
    np.testing.assert_array_equal(one, kc.derivatives(model, x, [name], v=v)[name])


def test_a_direction_for_all_and_one_for_each():
    x = np.random.default_rng(0).normal(size=(4, 2))
    for_all = kc.hessian_vector_product(lambda x: x**3, x, [1.0, 2.0])
    for_each = kc.hessian_vector_product(lambda x: x**3, x, np.tile([1.0, 2.0], (4, 1)))
    np.testing.assert_array_equal(for_all, for_each)


def mlp(**kwargs):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(16, "tanh", **kwargs),
            keras.layers.Dense(2, **kwargs),
        ]
    )


def test_a_model_of_integers_and_floats_from_numpy():
    model = mlp()
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(kc.hessian(model, x), kc.hessian(model, x.astype("float32")))


def test_results_have_the_models_dtype_or_the_one_asked_for():
    x = np.zeros((2, 3))
    assert kc.laplacian(mlp(), x).dtype == "float32"
    assert kc.laplacian(mlp(), x, dtype="float64").dtype == "float64"
    assert kc.laplacian(mlp(dtype="float64"), x).dtype == "float64"
    assert kc.laplacian(mlp(), x, engine="finite_difference").dtype == "float32"


def test_output_picks_an_entry_and_keeps_the_axis():
    model, x = mlp(), np.random.default_rng(0).normal(size=(4, 3))
    whole = kc.hessian(model, x).numpy()
    tolerance = {"rtol": 1e-5, "atol": 1e-6}  # float32, summed in another order
    np.testing.assert_allclose(kc.hessian(model, x, output=1), whole[:, 1:], **tolerance)
    np.testing.assert_allclose(kc.hessian(model, x, output=-2), whole[:, :1], **tolerance)
    summed = kc.hessian(model, x, output=lambda y: tf.reduce_sum(y, axis=1))
    np.testing.assert_allclose(summed, whole.sum(axis=1), **tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_gradient_with_respect_to_the_weights(engine, batch_size):
    """The slope of a loss in the Laplacian, against differences of that loss."""
    model = mlp(dtype="float64")
    x = np.random.default_rng(0).normal(size=(5, 3))
    kernel = model.layers[0].kernel

    def loss():
        found = kc.laplacian(model, x, engine=engine, batch_size=batch_size)
        return tf.reduce_sum(found**2)

    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, kernel.value)
    step = np.zeros(kernel.shape)
    step[1, 3] = 1e-5
    original = kernel.numpy()
    kernel.assign(original + step)
    above = loss()
    kernel.assign(original - step)
    below = loss()
    # The error of a central difference at 1e-5, and of the finite-difference engine.
    np.testing.assert_allclose(gradient[1, 3], (above - below) / 2e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [5, None])
def test_gradient_with_respect_to_x_in_chunks_is_a_tensor(rows):
    """Not `IndexedSlices`, which most code that takes a gradient cannot handle."""
    kinds = []

    @tf.function(input_signature=[tf.TensorSpec([rows, 2], tf.float64)])
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            second = kc.laplacian(lambda x: x**4, x, batch_size=2)
        found = tape.gradient(second, x)
        kinds.append(tf.is_tensor(found) and not isinstance(found, tf.IndexedSlices))
        return found

    x = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(gradient(x), 24 * x)
    assert kinds == [True]


def test_gradient_with_respect_to_x_is_the_third_derivative():
    x = tf.constant([[2.0]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        second = kc.laplacian(lambda x: x**4, x)
    np.testing.assert_allclose(tape.gradient(second, x), [[24 * 2.0]])


def test_weights_changed_later_are_used():
    model, x = mlp(), np.ones((2, 3))
    before = kc.hessian(model, x).numpy()
    model.set_weights([2 * w for w in model.get_weights()])
    after = kc.hessian(model, x).numpy()
    assert not np.allclose(before, after)
    # The same numbers as for a model that had these weights from the start.
    fresh = mlp()
    fresh.set_weights(model.get_weights())
    np.testing.assert_array_equal(after, kc.hessian(fresh, x))


def test_a_layer_changed_later_is_used():
    model, x = mlp(), np.ones((2, 3))
    kc.hessian(model, x)
    model.layers[0].activation = keras.activations.linear
    np.testing.assert_array_equal(kc.hessian(model, x), np.zeros((2, 2, 3, 3)))
    model.layers[0].activation = keras.activations.tanh
    model.pop()
    assert kc.hessian(model, x).shape == (2, 16, 3, 3)


def test_a_second_call_does_not_trace_again():
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            calls.append(x)
            return tf.sin(x)

    model = keras.Sequential([keras.Input((1,)), Counting()])
    calls.clear()
    for size in (3, 5, 7):
        kc.hessian(model, np.zeros((size, 1)))
    assert len(calls) == 1


def test_a_model_is_not_kept_alive():
    import gc
    import weakref

    model = mlp()
    kc.hessian(model, np.zeros((2, 3)))
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_activity_losses_of_tracing_do_not_reach_the_user():
    model = mlp(activity_regularizer="l2")
    kc.hessian(model, np.zeros((2, 3)))
    assert model.losses == []


def with_text():
    city, x = keras.Input((1,), dtype="string", name="city"), keras.Input((3,), name="x")
    return keras.Model({"city": city, "x": x}, keras.layers.Dense(1)(x))


ERRORS = {
    "shape": (
        lambda: kc.hessian(mlp(), np.zeros((2, 4))),
        ValueError,
        r"must have shape \(n, 3\).*Received: shape \(2, 4\)",
    ),
    "missing axis": (lambda: kc.hessian(mlp(), np.zeros(3)), ValueError, "must have shape"),
    "empty": (lambda: kc.hessian(mlp(), np.zeros((0, 3))), ValueError, "at least one example"),
    "text": (lambda: kc.hessian(mlp(), np.array([["a"] * 3])), TypeError, "must hold numbers"),
    "numbers for text": (
        lambda: kc.hessian(with_text(), {"city": np.ones((2, 1)), "x": np.ones((2, 3))}, wrt="x"),
        TypeError,
        "must hold text for the model's input 'city'. Received: float64",
    ),
    "by text": (
        lambda: kc.hessian(with_text(), {"city": np.array([["a"]]), "x": np.ones((1, 3))}),
        TypeError,
        "'city' has dtype string, which has no derivative.*or of a float input beside it",
    ),
    "no output": (
        lambda: kc.hessian(lambda x: None, np.zeros((2, 3))),
        TypeError,
        "must be a tensor.*Received: None",
    ),
    "an output of None": (
        lambda: kc.hessian(lambda x: {"y": x, "more": None}, np.zeros((2, 3))),
        TypeError,
        "Received: {.*'more': None.*Choose the part",
    ),
    "nothing of an output": (
        lambda: kc.hessian(lambda x: [], np.zeros((2, 3))),
        TypeError,
        r"Received: \[\]",
    ),
    "a sum over the batch": (
        lambda: kc.hessian(lambda x: tf.reduce_sum(x**2), np.zeros((2, 3))),
        ValueError,
        r"shape \(\).*leave the sum or mean over the batch out",
    ),
    "a shape that TensorFlow does not know": (
        lambda: kc.hessian(
            lambda x: keras.ops.associative_scan(keras.ops.add, x, axis=1), np.zeros((2, 4))
        ),
        ValueError,
        r"shape <unknown>.*set it with `tf\.ensure_shape`",
    ),
    "unbuilt": (
        lambda: kc.hessian(keras.Sequential([keras.layers.Dense(1)]), np.zeros((2, 3))),
        ValueError,
        "no build shape",
    ),
    "unknown output": (
        lambda: kc.hessian(mlp(), np.zeros((2, 3)), output=2),
        ValueError,
        "output's last axis, from -2 to 1",
    ),
    "unknown name": (
        lambda: kc.hessian(mlp(), np.zeros((2, 3)), output="nope"),
        ValueError,
        "'nope'",
    ),
    "unknown layer": (
        lambda: kc.hessian(mlp(), np.zeros((2, 3)), wrt="nope"),
        ValueError,
        "inputs or layers. Received: 'nope'",
    ),
    "output type": (
        lambda: kc.hessian(mlp(), np.zeros((2, 3)), output=1.5),
        TypeError,
        "`output` must be",
    ),
    "engine": (
        lambda: kc.hessian(mlp(), np.zeros((2, 3)), engine="magic"),
        ValueError,
        "`engine` must be",
    ),
    "dtype": (
        lambda: kc.hessian(mlp(), np.zeros((2, 3)), dtype="float16"),
        ValueError,
        "`dtype` must be",
    ),
    "batch size": (
        lambda: kc.hessian(mlp(), np.zeros((2, 3)), batch_size=0),
        ValueError,
        "`batch_size` must be at least 1",
    ),
    "names": (
        lambda: kc.derivatives(mlp(), np.zeros((2, 3)), ["curl"]),
        ValueError,
        "`names` must be one or some of",
    ),
    "no direction": (
        lambda: kc.derivatives(mlp(), np.zeros((2, 3)), ["directional_curvature"]),
        ValueError,
        "direction `v` is needed",
    ),
    "direction's shape": (
        lambda: kc.hessian_vector_product(mlp(), np.zeros((2, 3)), np.zeros(4)),
        ValueError,
        "`v` must have the shape",
    ),
    "integer input": (
        lambda: kc.hessian(lambda x: x, np.array([[1]])),
        TypeError,
        "has dtype int64, which has no derivative",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_was_expected(case):
    call, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        call()


MET = "the method `{}` of 'met'. Give the model itself"
NOT_MODELS = {
    **{
        name: (lambda model, name=name: getattr(model, name), MET.format(name))
        for name in ("predict", "predict_on_batch", "evaluate", "call", "__call__")
    },
    "partial": (lambda model: functools.partial(model.predict, verbose=0), MET.format("predict")),
    "inside a function": (
        lambda model: lambda x: model.predict(x, verbose=0),
        "The function calls `predict`.* Call the model itself",
    ),
    "to NumPy": (lambda model: lambda x: model(x).numpy(), "hands a tensor to NumPy"),
    "to math": (lambda model: math.sin, "or to `math`.*keras.ops"),
    "of two arguments": (
        lambda model: lambda t, x: t * x,
        r"function\(\*given\)",
    ),
    "of a list": (lambda model: lambda given: sum(given), "takes apart.*Received: one array"),
    "of a dict": (lambda model: lambda given: given["x"], "takes apart.*Received: one array"),
    "class": (lambda model: keras.Sequential, "must be a Keras model .*Received: <class"),
    "list": (lambda model: model.layers, r"must be a Keras model .*Received: \[<Dense"),
    "name": (lambda model: model.name, "must be a Keras model .*Received: 'met'"),
}


@pytest.mark.parametrize("case", NOT_MODELS)
def test_what_is_no_model_is_told_of(case):
    make, message = NOT_MODELS[case]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="met")
    for function in (kc.laplacian, kc.verify):
        with pytest.raises(TypeError, match=message):
            function(make(model), np.ones((3, 2), "float32"))


@pytest.mark.tensorflow  # elsewhere: tests/backends/test_bad_input.py
def test_what_is_of_jax_is_told_of():
    jax = pytest.importorskip("jax")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    x = np.ones((3, 2), "float32")
    np.testing.assert_array_equal(kc.laplacian(model, jax.numpy.asarray(x)), kc.laplacian(model, x))
    with pytest.raises(TypeError, match=r"to JAX, .*`keras.ops`.*KERAS_BACKEND=jax"):
        kc.laplacian(lambda x: jax.numpy.sin(x), x)
    for ask in (lambda x: kc.laplacian(model, x), kc.CurvatureMonitor):
        with pytest.raises(TypeError, match=r"must hold numbers: .*of JAX .*KERAS_BACKEND=jax"):
            jax.jit(ask)(x)


def test_a_method_of_a_model_s_own_is_a_function():
    class Squared(keras.Model):
        def energy(self, x):
            return tf.reduce_sum(x**2, axis=1)

    assert kc.laplacian(Squared().energy, np.ones((1, 2)))[0] == 4


IN_A_GRAPH = {
    **{name: getattr(kc, name) for name in ("jacobian", "hessian", "hessian_diagonal")},
    "laplacian": kc.laplacian,
    "trace": lambda model, x: kc.laplacian(model, x, directions=2),
    "directional_curvature": lambda model, x: kc.directional_curvature(model, x, tf.ones(2)),
    "hessian_vector_product": lambda model, x: kc.hessian_vector_product(model, x, tf.ones(2)),
    "engine_choice": lambda model, x: [kc.engine_choice(model, x, ["hessian"]), x][1],
    "scale_curvature": lambda model, x: kc.scale_curvature(model, x, scale=0.1),
    "estimate": lambda model, x: kc.estimate(model, x, "trace", directions=2)["trace"].value,
}


@pytest.mark.parametrize("name", IN_A_GRAPH)
def test_autograph_has_nothing_to_say(name, caplog):
    """In a `tf.function` it would rewrite the library too, and print what it cannot rewrite."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "gelu")])
    tf.get_logger().addHandler(caplog.handler)
    try:
        tf.function(IN_A_GRAPH[name])(model, tf.ones((2, 2)))
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == []


def test_the_slope_of_selu_is_not_rounded_to_float32():
    """Its scale went through float32, so that what comes behind was off by 1e-8."""
    scale, steep = 1.0507009873554805, 1.7580993408473766
    found = kc.hessian(
        lambda x: keras.activations.selu(-keras.activations.selu(x)),
        np.array([[0.5]]),
        engine="taylor",
        dtype="float64",
    )
    truth = steep * np.exp(-scale * 0.5) * scale**2
    np.testing.assert_allclose(np.asarray(found).ravel(), [truth], rtol=1e-14)
