"""What is known of an op type is known to every engine, of a user's own op too."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_curvature as kc
from keras_curvature.engines.op_types import traits_of
from keras_curvature.engines.tensorflow import memory_per_example

X = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")


def smallest(x):
    """`NthElement`, of which the library knows nothing."""
    return tf.raw_ops.NthElement(input=tf.stack([x, 1 - x], axis=-1), n=0)


def pairs(x, n):
    return [x[..., :1] - x[..., 1:]]


@pytest.mark.usefixtures("rules_as_before")
def test_an_op_of_ones_own_is_known_everywhere():
    dense = keras.layers.Dense(4)
    layers = [dense, keras.layers.Lambda(smallest, name="least"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    rule = kc.taylor.through(lambda op, x, n: tf.sort(x, axis=-1)[..., 0])
    with pytest.raises(ValueError, match="NthElement in the op"):
        kc.kinks(smallest, -1, 2)
    assert "least" not in [name for f in kc.diagnose(model, X).findings for name in f.layers]
    kc.taylor.register("NthElement", rule.kinked("smallest", "a mean", pairs))
    assert kc.engine_choice(model, X, ["laplacian"]).fallbacks == ()
    found = kc.kinks(smallest, -1, 2)
    np.testing.assert_allclose(found.positions, [0.5], atol=1e-15)
    np.testing.assert_allclose(found.slope_changes, [[-2]], atol=1e-15)
    report = kc.diagnose(model, X)
    assert any("smallest in 'least'" in f.where and "a mean" in f.advice for f in report.findings)
    with pytest.warns(UserWarning, match="NthElement in layer 'least'"):
        kc.smooth(model, 5.0)
    kc.taylor.deregister("NthElement")
    with pytest.raises(ValueError, match="NthElement in the op"):
        kc.kinks(smallest, -1, 2)


@pytest.mark.usefixtures("rules_as_before")
def test_a_linear_rule_is_known_to_the_search_for_kinks():
    def turned(x):
        return tf.reverse_sequence(tf.nn.relu(x), tf.ones([tf.shape(x)[0]], tf.int32), seq_axis=1)

    with pytest.raises(ValueError, match="ReverseSequence in the op"):
        kc.kinks(turned, -1, 1)
    kc.taylor.register("ReverseSequence", kc.taylor.linear())
    np.testing.assert_allclose(kc.kinks(turned, -1, 1).positions, [0], atol=1e-15)


@pytest.mark.usefixtures("rules_as_before")
def test_no_rule_changes_what_an_op_of_tensorflow_is():
    before = traits_of("Tanh")
    kc.taylor.deregister("Tanh")
    kc.taylor.register("Tanh", kc.taylor.linear())
    assert traits_of("Tanh") == before
    with pytest.raises(ValueError, match="Tanh in the op"):
        kc.kinks(tf.tanh, -1, 1)


def test_what_branches_need_is_counted():
    def wide(x):
        return tf.reduce_sum(tf.tile(x, [1, 50]) ** 2, axis=1)

    @tf.function
    def f(x):
        return tf.cond(tf.size(x) > 0, lambda: wide(x), lambda: -wide(x))

    graph = f.get_concrete_function(tf.TensorSpec([None, 2])).graph
    assert memory_per_example.numbers_per_example(graph.outputs) >= 200
    assert memory_per_example.widest_result(graph.outputs) == 100
