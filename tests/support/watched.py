"""A small training, watched or not, and what is left of it."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

import keras_curvature as kc

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 2)).astype("float32")
Y = np.sin(X[:, :1]) * X[:, 1:]
PROBE = X[:8]


def network(seed=0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4, "tanh"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    # Eagerly: tracing Keras's step takes longer than all else in a test.
    model.compile("adam", "mse", run_eagerly=True)
    return model


def train(*callbacks, model=None, epochs=4, **kwargs):
    """Fits, and returns the model and Keras's history."""
    model = network() if model is None else model
    given = {"epochs": epochs, "batch_size": 16, "verbose": 0} | kwargs
    return model, model.fit(X, Y, callbacks=list(callbacks), **given)


def untrained(model, probe, steps=1, **options):
    """A monitor that has measured so many steps of a training in which nothing happens."""
    monitor = kc.CurvatureMonitor(probe, **options)
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_epoch_begin(0)
    for epoch in range(steps - 1):
        monitor.on_epoch_end(epoch, {})
    return monitor


def left_behind(model, fit):
    """All numbers of a training that do not come from watching it."""
    losses = {k: v for k, v in fit.history.items() if not k.startswith("curvature")}
    variables = [*model.variables, *model.optimizer.variables]
    states = [keras.ops.convert_to_numpy(v) for v in variables]
    return [*states, *losses.values(), tf.random.uniform([]).numpy(), np.random.rand()]  # noqa: NPY002


def assert_same(these, those):
    assert len(these) == len(those)
    for a, b in zip(these, those, strict=True):
        np.testing.assert_array_equal(a, b)


def events(log_dir, run="curvature"):
    """What TensorBoard reads of a run."""
    found = EventAccumulator(str(log_dir / run), size_guidance={"tensors": 0})
    found.Reload()
    return found


def steps(log_dir, tag="curvature/mean", run="curvature"):
    found = events(log_dir, run)
    known = tag in found.Tags()["tensors"]
    return [event.step for event in found.Tensors(tag)] if known else []


def text(log_dir, tag):
    """The last text under a tag."""
    event = events(log_dir).Tensors(tag)[-1]
    return tf.make_ndarray(event.tensor_proto).item().decode()


class During(keras.callbacks.Callback):
    """Begins something at the end of epoch 1, before what comes later in the list, and ends it
    at the end of epoch 3: steps 2 and 3 of a monitor see it."""

    def __init__(self, begin, end=lambda: None):
        super().__init__()
        self._acts = {1: begin, 3: end}

    def on_epoch_end(self, epoch, logs=None):
        self._acts.get(epoch, lambda: None)()
