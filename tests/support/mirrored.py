"""What a model that is mirrored on three devices must stand: run by test_devices.py."""

from __future__ import annotations

import sys
import warnings

import keras
import numpy as np
import tensorflow as tf

import keras_curvature as kc
from watched import PROBE, During, X, assert_same, left_behind, steps, train

MEMORY, ARITHMETIC = 1, 2


class Faulty(keras.layers.Layer):
    """An identity that fails when it is run, outside of training and if it is told to."""

    def build(self, shape):
        self.fault = self.add_weight((), "zeros", dtype="int32", trainable=False)

    def call(self, x, training=False):
        if training:
            return x
        fault, n = tf.convert_to_tensor(self.fault), tf.shape(x)[0]
        greedy = (fault == MEMORY) & (n > 2)
        memory = tf.fill([tf.where(greedy, tf.constant(2**48, tf.int64), 1)], 0.0)  # a petabyte
        quotient = tf.constant(0) // tf.where(fault == ARITHMETIC, 0, 1)
        return x + memory[0] + tf.cast(quotient, x.dtype)


class Subclassed(keras.Model):
    """Built by its first batch."""

    def __init__(self):
        super().__init__()
        self.hidden, self.last = keras.layers.Dense(6, "tanh"), keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.hidden(x))


def network(*layers):
    keras.utils.set_random_seed(0)
    ends = keras.layers.Dense(6, "tanh"), keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((2,)), *layers, *ends])
    model.compile("sgd", "mse", jit_compile=False)
    return model


def same(a, b):
    assert type(a) is type(b)
    np.testing.assert_allclose(a, b, 1e-4, 1e-6)  # float32, in other batches


def any_number_of_examples(strategy):
    with strategy.scope():
        model = network()
    one = network()
    for n in (1, 2, 3, 4, 7):
        for size in (None, 1):
            same(kc.hessian(model, X[:n], batch_size=size), kc.hessian(one, X[:n]))
    along = X[5:10]
    for compute in (kc.hessian_vector_product, kc.directional_curvature):
        same(compute(model, X[:5], along), compute(one, X[:5], along))


def gradients(strategy):
    with strategy.scope():
        model = network()
    one, x = network(), tf.constant(X[:5])

    def gradient(of):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(kc.laplacian(of, x) ** 2)
        return tape.gradient(y, [x, *of.trainable_variables])

    for a, b in zip(gradient(model), gradient(one), strict=True):
        assert (a is None) == (b is None)  # of the last bias
        if a is not None:
            same(a, b)


def every_way_of_calling(strategy):
    with strategy.scope():
        model = network()
        subclassed = Subclassed()
    subclassed(X[:1])
    subclassed.set_weights(model.get_weights())
    x = tf.constant(X[:5])
    expected = kc.laplacian(network(), x)

    def compute(x):
        return kc.laplacian(model, x)

    same(kc.laplacian(subclassed, x), expected)
    same(tf.function(compute)(x), expected)
    with strategy.scope():
        same(compute(x), expected)
    for run in (strategy.run, tf.function(lambda f, args: strategy.run(f, args=args))):
        for found in strategy.experimental_local_results(run(compute, args=(x,))):
            same(found, expected)


def a_model_of_no_strategy_within_several(strategy):
    one, x = network(), X[:5]
    with strategy.scope():
        same(kc.laplacian(one, x), kc.laplacian(network(), x))
    with tf.distribute.MirroredStrategy(["CPU:1", "CPU:2"]).scope():
        kc.hessian(one, x)  # compiled anew, here


def too_little_memory(strategy):
    with strategy.scope():
        model = network(Faulty())
    enough = kc.laplacian(model, X)
    model.layers[0].fault.assign(MEMORY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        same(kc.laplacian(model, X), enough)
    said = [str(w.message) for w in caught]
    assert "for 2 examples at a time" in said[-1], said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kc.laplacian(model, X)
        kc.hessian_diagonal(model, X, batch_size=2)  # as the warning says


def a_fault_on_the_devices(strategy, log_dir):
    def trained(*callbacks):
        with strategy.scope():
            model = network(Faulty())
        fault = model.layers[0].fault
        broken = During(lambda: fault.assign(ARITHMETIC), lambda: fault.assign(0))
        return train(broken, *callbacks, model=model, batch_size=24)

    monitor = kc.CurvatureMonitor(PROBE, log_dir, on_error="warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watched = left_behind(*trained(monitor))
    assert_same(watched, left_behind(*trained()))
    said = [w for w in caught if "could not measure at step 2" in str(w.message)]
    assert len(said) == 1, [str(w.message) for w in caught]
    np.testing.assert_array_equal(np.isnan(monitor.history["mean"]), [0, 0, 1, 1, 0])
    assert steps(log_dir) == [0, 1, 4]


def averages_of_their_own(strategy):
    """Neither check takes the other devices' averages for a wrong derivative."""
    with strategy.scope():
        model = network(keras.layers.BatchNormalization())
    train(model=model, epochs=1, batch_size=24)  # Keras wants equal shares
    averages = strategy.experimental_local_results(model.layers[0].moving_mean.value)
    assert np.abs(averages[0].numpy() - averages[1].numpy()).max() > 1e-6
    assert kc.verify(model, X).ok
    assert kc.diagnose(model, X).kinds == ()


def main():
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(3)])
    any_number_of_examples(strategy)
    gradients(strategy)
    every_way_of_calling(strategy)
    a_model_of_no_strategy_within_several(strategy)
    too_little_memory(strategy)
    averages_of_their_own(strategy)
    from pathlib import Path

    a_fault_on_the_devices(strategy, Path(sys.argv[1]))
    print("all of it")


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
    main()
