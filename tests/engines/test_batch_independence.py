"""Examples that are taken to stay apart do: each gets alone what it gets among others."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from cases import CASES, forget_models, model_of
from keras_curvature.engines.bound_model import BoundModel, bind
from keras_curvature.engines.options import Options
from keras_curvature.engines.tensorflow.taylor.batch_independence import examples_apart
from keras_curvature.engines.tensorflow.tracing import trace

pytestmark = pytest.mark.filterwarnings("ignore:The model gives an example another output")

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
WEIGHTS = tf.constant(np.random.default_rng(1).normal(size=(2, 2)), tf.float32)


def by_pairs(x):
    """Rows of two numbers, of which every other one is from two examples."""
    return tf.reshape(tf.reshape(x, [-1, 2]) @ WEIGHTS, [-1, 3])


def ending_in_pairs(x):
    """The same, left as they are."""
    return tf.reshape(x, [-1, 2]) @ WEIGHTS[:, :1]


def by_parts(x):
    """Rows of two numbers of one example each."""
    rows = tf.reshape(tf.concat([x, x[:, :1]], axis=1), [-1, 2])
    return tf.reshape(rows @ WEIGHTS, [-1, 4])


FUNCTIONS = {
    "tanh": (tf.tanh, True),
    "silu": (tf.nn.silu, True),
    "silu of a mean": (lambda x: tf.nn.silu(x - tf.reduce_mean(x, axis=0)), False),
    "as steep as the mean": (lambda x: tf.nn.silu(x, tf.reduce_mean(x)), False),
    "parts": (by_parts, True),
    "pairs": (by_pairs, False),
    "pairs at the end": (ending_in_pairs, False),
    "mean": (lambda x: x - tf.reduce_mean(x, axis=0), False),
    "stopped mean": (lambda x: x - tf.stop_gradient(tf.reduce_mean(x, axis=0)), False),
    "stopped": (lambda x: x * tf.stop_gradient(x), True),
    "shape of an example": (lambda x: x + tf.raw_ops.OnesLike(x=x), True),
    "running sum": (lambda x: tf.cumsum(x, axis=0), False),
    "running sum of an example": (lambda x: tf.cumsum(x, axis=1), True),
    "compared": (lambda x: tf.where(x > tf.reduce_max(x), x, -x), False),
    "transposed": (lambda x: tf.matmul(x, x, transpose_b=True) @ x, False),
    "largest of all": (lambda x: x * tf.reduce_max(tf.abs(x)), False),
    "reversed": (lambda x: x + tf.reverse(x, [0]), False),
    "shifted": (lambda x: x + tf.roll(x, 1, 0), False),
    "in a function": (tf.function(lambda x: x - tf.reduce_mean(x)), False),
    "in a loop": (lambda x: tf.scan(lambda a, b: a + b, x), False),
}


def bound_to(model, x, wrt=None) -> BoundModel:
    return bind(model, x, Options(wrt=wrt), in_float64=False)


def coupled(bound):
    """How much an example's outputs depend on the others."""
    f, leaves = bound.f, bound.inputs.leaves
    whole = f(*f.point(leaves))
    alone = [f(*f.point([leaf[i : i + 1] for leaf in leaves])) for i in range(len(whole))]
    return float(tf.reduce_max(tf.abs(whole - tf.concat(alone, axis=0))))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_said_of_a_function(name):
    function, apart = FUNCTIONS[name]
    traced = trace(function, [tf.TensorSpec([None, 3])], "x", lambda y: y)
    assert examples_apart(traced) == apart
    if apart:
        assert coupled(bound_to(function, X)) < 1e-6


QUICK = {"networks/transformer", "layers/MultiHeadAttention", "layers/BatchNormalization"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=[] if case.id in QUICK else [pytest.mark.slow])
        for case in CASES
        if "slow" not in case.tags
    ],
)
def test_no_network_is_taken_for_another(case):
    try:
        bound = bound_to(model_of(case, "float32"), case.batch("float32"), case.wrt)
    except ValueError:
        pytest.skip("cannot be differentiated")
    if examples_apart(bound.f.traced):
        assert coupled(bound) < 1e-4
    forget_models()


@pytest.mark.parametrize("engine", ["auto", "nested"])
@pytest.mark.parametrize("examples", [1, 5])
def test_a_function_that_has_to_know_how_many_examples_there_are(engine, examples):
    def of_squares(x):
        return tf.reduce_sum((x + np.zeros([x.shape[0], 3])) ** 2 * [1.0, 2.0, 4.0], axis=1)

    x = np.random.default_rng(0).normal(size=(examples, 3))
    with pytest.raises(TypeError):
        tf.function(of_squares).get_concrete_function(tf.TensorSpec([None, 3], "float64"))
    found = kc.laplacian(of_squares, x, engine=engine)
    np.testing.assert_allclose(found, np.full(examples, 14.0), rtol=1e-12)
