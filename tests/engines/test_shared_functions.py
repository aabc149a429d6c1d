"""What is compiled for one model serves others of the same graph, and no other graph."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections import OrderedDict

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

import keras_curvature as kc
from keras_curvature.engines import bound_model
from keras_curvature.engines.options import Options
from keras_curvature.engines.taylor import registry
from keras_curvature.engines.tensorflow import shared_functions
from keras_curvature.engines.tensorflow.private import unoptimised

X = np.linspace(-1, 1, 5)[:, None]


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """The functions that are kept, of this test alone."""
    kept = OrderedDict()
    monkeypatch.setattr(shared_functions, "_kept", kept)
    return kept


class Scaled(keras.layers.Layer):
    """`function(w x)` with a weight `w`."""

    def __init__(self, w, function, dtype):
        super().__init__(dtype=dtype)
        self.function, self.first = function, w

    def build(self, shape):
        self.w = self.add_weight(shape=(1,), initializer=keras.initializers.Constant(self.first))

    def call(self, x):
        return self.function(self.w * x)


def model_of(w, function=tf.sin):
    return keras.Sequential([keras.Input((1,)), Scaled(w, function, dtype="float64")])


def second(w, c=1.0, size=1.0):
    """The second derivative of `size sin(c w x)`."""
    return -size * (c * w) ** 2 * np.sin(c * w * X)


def identity_of(model):
    return next(iter(bound_model._evaluators[model].values())).f.traced.identity


def test_each_model_gives_its_own_numbers(kept):
    models = {w: model_of(w) for w in (1.0, 2.0, 3.0)}
    for _ in range(2):
        for w, model in models.items():
            np.testing.assert_allclose(kc.laplacian(model, X), second(w), rtol=1e-12)
    assert len(kept) == 1


def test_also_after_its_weights_have_changed(kept):
    one, other = model_of(1.0), model_of(2.0)
    for w in (0.5, 1.5):
        kc.laplacian(one, X)
        one.set_weights([np.full(1, w)])
        np.testing.assert_allclose(kc.laplacian(other, X), second(2.0), rtol=1e-12)
        np.testing.assert_allclose(kc.laplacian(one, X), second(w), rtol=1e-12)
    other.layers[0].w.assign([w])
    np.testing.assert_allclose(kc.laplacian(other, X), second(w), rtol=1e-12)
    assert len(kept) == 1


def number(c):
    return lambda x: tf.sin(c * x)


def array(c):
    return lambda x: tf.sin(x * np.full(1, c))


def tensor(c):
    """As what an adapted `Normalization` holds."""
    held = tf.constant([c], tf.float64)
    return lambda x: tf.sin(x * held)


def large_tensor(c):
    held = tf.fill([10_000], tf.constant(c, tf.float64))
    return lambda x: tf.sin(x * tf.reduce_mean(held))


def variable(c):
    held = tf.Variable(c, dtype=tf.float64)
    return lambda x: tf.sin(x * held)


def function(c):
    return tf.function(lambda x: tf.sin(c * x))


def branch(c):
    return lambda x: tf.cond(tf.reduce_sum(x) < 1e9, lambda: tf.sin(c * x), lambda: tf.cos(c * x))


def loop(c):
    def power(x):
        counted = tf.while_loop(
            lambda i, y: i < 3, lambda i, y: (i + 1, y * c ** (1 / 3)), (tf.constant(0), x)
        )
        return tf.sin(counted[1])

    return power


ALIKE = {
    number: True,
    array: True,
    variable: True,
    function: True,
    branch: True,
    loop: True,
    tensor: True,
    large_tensor: False,
}
"""How a `c` gets into `sin(c x)`; whether two models with the same one are known to be alike."""


@pytest.mark.every(2)
@pytest.mark.parametrize("make", ALIKE, ids=lambda make: make.__name__)
def test_models_of_the_same_graph_and_no_others_are_alike(make, kept):
    models = [(c, w, model_of(w, make(c))) for c, w in ((1.5, 1.0), (2.5, 1.0), (1.5, 2.0))]
    for c, w, model in models:
        np.testing.assert_allclose(kc.laplacian(model, X), second(w, c), rtol=1e-9)
    first, other, again = (identity_of(model) for *_, model in models)
    assert (first is not None and first == again) is ALIKE[make]
    # A variable is no part of the graph.
    assert (first is not None and first == other) is (make is variable)
    assert len(kept) == (1 if make is variable else 2 if ALIKE[make] else 0)


def by_hand(c):
    @tf.custom_gradient
    def sine(x):
        return tf.sin(x), lambda upstream: c * tf.cos(x) * upstream

    return sine


def test_a_gradient_by_hand_is_that_of_its_own_model(kept):
    for c in (2.0, 3.0):
        found = kc.laplacian(model_of(1.0, by_hand(c)), X)
        np.testing.assert_allclose(found, second(1.0, size=c), rtol=1e-12)
    assert not kept


OTHERWISE = {
    "activation": lambda: model_of(1.0, tf.cos),
    "dtype": lambda: keras.Sequential([keras.Input((1,)), Scaled(1.0, tf.sin, dtype="float32")]),
    "shape": lambda: keras.Sequential([keras.Input((2,)), Scaled(1.0, tf.sin, dtype="float64")]),
    "a layer more": lambda: keras.Sequential([model_of(1.0), keras.layers.Rescaling(2.0)]),
    "noise": lambda: model_of(1.0, lambda x: tf.sin(x) + 0 * tf.random.normal([1], dtype=x.dtype)),
}


@pytest.mark.parametrize("other", OTHERWISE.values(), ids=OTHERWISE)
def test_another_architecture_is_another_graph(other):
    found = set()
    for model in (model_of(1.0), other()):
        kc.laplacian(model, np.ones((5, *model.input_shape[1:])))
        found.add(identity_of(model))
    assert len(found) == 2


def test_the_same_graph_by_another_output_or_dtype_is_asked_anew(kept):
    def two():
        x = keras.Input((1,), dtype="float64")
        outputs = [Scaled(w, tf.sin, dtype="float64")(x) for w in (1.0, 2.0)]
        return keras.Model(x, outputs)

    for model in (two(), two()):
        for i in (0, 1):
            found = kc.laplacian(model, X, output=i)
            np.testing.assert_allclose(found, second(1.0 + i), rtol=1e-12)


@pytest.mark.slow
def test_gradients_by_the_weights_of_a_model_are_its_own(kept):
    models = [model_of(w, tf.tanh) for w in (1.0, 2.0)]
    for model in models:
        kc.laplacian(model, X)
    assert len(kept) == 1
    for w, model in zip((1.0, 2.0), models, strict=True):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(kc.laplacian(model, X) * X)
        (found,) = tape.gradient(total, [model.layers[0].w.value])
        t = np.tanh(w * X)
        bent, turning = -2 * t * (1 - t**2), -2 * (1 - t**2) * (1 - 3 * t**2)
        expected = np.sum(X * (2 * w * bent + w**2 * X * turning))
        np.testing.assert_allclose(found, [expected], rtol=1e-12)


def test_the_rules_are_those_that_hold_now(kept):
    """A rule that gives another second derivative shows who used it."""
    kc.laplacian(model_of(1.0, tf.square), X)
    rule = kc.taylor.elementwise(lambda x, y: 2 * x, lambda x, y: 7 + 0 * x)
    before = registry.lookup("Square")
    try:
        kc.taylor.deregister("Square")
        kc.taylor.register("Square", rule)
        found = kc.laplacian(model_of(1.0, tf.square), X)
    finally:
        kc.taylor.deregister("Square")
        kc.taylor.register("Square", before)
    np.testing.assert_allclose(found, np.full_like(X, 7.0))


def test_a_monitor_compiles_nothing_for_the_second_model(kept, tmp_path):
    numbers, counts = [], []
    for seed, name in ((0, "one"), (1, "other"), (0, "again")):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(8, "silu"), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        monitor = kc.CurvatureMonitor(np.hstack([X, X**2]), tmp_path / name)
        model.fit(np.hstack([X, X**2]), X, verbose=0, callbacks=[monitor])
        numbers.append(monitor.history["rms"])
        counts.append(len(kept))
    assert counts == [1, 1, 1]
    assert numbers[0] == numbers[2] != numbers[1]


@pytest.mark.parametrize(
    ("function", "compiles"), [(tf.sin, False), (loop(1.0), True)], ids=["plain", "loop"]
)
def test_what_is_called_once_is_compiled_only_around_loops(function, compiles, kept):
    bound = bound_model.bind(model_of(2.0, function), X, Options())
    f = bound.f
    compute = bound.evaluator.function(lambda x: {"y": f(x, ())}, [X], once=True)
    np.testing.assert_allclose(compute(tf.constant(X))["y"], np.sin(2 * X), rtol=1e-12)
    assert bool(kept) is bool(bound.evaluator.compiled) is compiles


def test_measuring_leaves_the_options_of_functions_as_they_were():
    before = context.context().function_call_options
    with contextlib.suppress(KeyError), unoptimised():
        inside = context.context().function_call_options
        raise KeyError
    config = tf.compat.v1.ConfigProto.FromString(inside.config_proto_serialized)
    assert config.graph_options.rewrite_options.disable_meta_optimizer
    assert context.context().function_call_options is before


def test_few_functions_are_kept(monkeypatch, kept):
    monkeypatch.setattr(shared_functions, "KEPT", 2)
    for c in (1.0, 2.0, 3.0, 2.0):
        np.testing.assert_allclose(
            kc.laplacian(model_of(1.0, number(c)), X), second(1.0, c), rtol=1e-12
        )
    assert len(kept) == 2


@pytest.mark.slow  # in a process with many graphs collecting garbage takes seconds
@pytest.mark.parametrize("function", [tf.sin, tf.nn.silu, loop(2.0)])
def test_a_kept_function_keeps_neither_model_nor_weights(function, kept):
    model = model_of(1.0, function)
    kc.hessian(model, X)
    kc.diagnose(model, X)
    assert kept
    (evaluator,) = bound_model._evaluators[model].values()
    gone = [
        weakref.ref(model),
        weakref.ref(evaluator.f.traced.graph),
        weakref.ref(model.layers[0].w.value),
    ]
    del model, evaluator
    keras.backend.clear_session()
    for _ in range(2):  # Keras lets go in steps
        gc.collect()
    assert [thing() for thing in gone] == [None, None, None]
