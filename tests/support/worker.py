"""One of several processes that train a model together, watched: run by test_devices.py.

Keras 3's own `fit` does not take `MultiWorkerMirroredStrategy`, so this is a loop of its own
that calls the callbacks as `fit` would.
"""

from __future__ import annotations

import argparse
import json
import os
import signal

import keras
import numpy as np
import tensorflow as tf

import keras_curvature as kc

X = np.random.default_rng(0).normal(size=(32, 2)).astype("float32")
Y = np.sin(X[:, :1])
BATCH = 8


def build():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    )
    optimizer = keras.optimizers.SGD(0.05)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def train(strategy, log_dir, epochs, at_epoch=lambda epoch: None):
    with strategy.scope():
        model, optimizer = build()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH).with_options(options)
    data = strategy.experimental_distribute_dataset(data)

    def of_replica(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((model(x) - y) ** 2) / BATCH
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    step = tf.function(lambda x, y: strategy.run(of_replica, args=(x, y)))
    monitor = kc.CurvatureMonitor((X[:8], Y[:8]), log_dir)
    callbacks = keras.callbacks.CallbackList([monitor], model=model)
    callbacks.on_train_begin()
    for epoch in range(epochs):
        at_epoch(epoch)
        callbacks.on_epoch_begin(epoch)
        for x, y in data:
            step(x, y)
        callbacks.on_epoch_end(epoch, {})
    callbacks.on_train_end()
    return monitor


def fit(strategy):
    """As it would be without a loop of one's own."""
    with strategy.scope():
        model, optimizer = build()
        model.compile(optimizer, "mse", jit_compile=False)
    model.fit(X, Y, batch_size=BATCH, verbose=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("log_dir", nargs="?")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--killed-at", type=int, default=-1)
    given = parser.parse_args()

    def at_epoch(epoch):
        if epoch == given.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    strategy = (
        tf.distribute.get_strategy() if given.alone else tf.distribute.MultiWorkerMirroredStrategy()
    )
    if given.fit:
        fit(strategy)
        return
    monitor = train(strategy, given.log_dir, 3, at_epoch)
    print(json.dumps(monitor.history))


if __name__ == "__main__":
    main()
