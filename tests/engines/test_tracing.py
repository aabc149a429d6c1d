"""When a model is traced again, and that nobody notices."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_curvature as kc

X = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")


def test_statistics_of_data_may_change_after_a_trace():
    """`adapt` replaces the constants that the trace has read."""
    scaling = layers.Normalization()
    scaling.adapt(X)
    net = keras.Sequential([keras.Input((2,)), scaling, layers.Dense(1, "tanh")])
    before = kc.jacobian(net, X)
    scaling.adapt(100 * X)
    np.testing.assert_allclose(kc.jacobian(net, 100 * X) * 100, before, rtol=1e-4)


def test_a_trace_is_not_noticed_by_the_call_around_it():
    """It clears no loss made before it, and leaves later layers in training mode."""

    class Around(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = keras.Sequential(
                [layers.Dense(3, "tanh", activity_regularizer=keras.regularizers.L2(0.1))]
            )
            self.dropout = layers.Dropout(0.5)

        def call(self, x):
            self.net(x)
            # Another function is another trace, in this very call.
            curvature = kc.laplacian(self.net, x, output=lambda y: y)
            return curvature, self.dropout(tf.ones_like(x))

    for way in (lambda model: model, tf.function):
        model = Around()
        _, dropped = way(model)(tf.constant(X), training=True)
        assert np.any(dropped == 0)
        assert len(model.losses) == 1


def test_a_loop_that_fails_leaves_no_caching_device():
    """`tf.map_fn` does, and then no distribution strategy can be entered any more."""

    def fails(row):
        raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        kc.hessian(lambda x: tf.map_fn(fails, x), X)
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        pass
