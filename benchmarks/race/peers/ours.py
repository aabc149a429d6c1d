"""This library, through its public functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import tensorflow as tf

import keras_curvature as kc
from benchmarks.race import work as works
from benchmarks.race.contenders import GIVEN, XLA
from benchmarks.race.networks import Array
from benchmarks.race.peers import keras_networks
from benchmarks.race.peers.tensorflow_recipes import training_step
from benchmarks.race.work import Work
from keras_curvature.engines.tensorflow.random_directions import rademacher


def prepare(work: Work, recipe: str, mode: str) -> Callable[[], object]:
    """See `benchmarks.race.peers`; the recipe is the engine."""
    model = keras_networks.build(work.network)
    x = tf.constant(work.x())
    xla = mode == XLA
    tf.function(lambda x: model(x, training=False), jit_compile=xla)(x[:2])
    if work.quantity == works.STEP:
        return training_step(work, model, _value_and_laplacian(model, recipe), xla)
    compute = _call(work, mode)

    def call(x: tf.Tensor) -> tf.Tensor:
        return compute(model, x, engine=recipe)

    function = tf.function(call, jit_compile=True) if xla else call
    return lambda: function(x)


def _call(work: Work, mode: str) -> Callable[..., tf.Tensor]:
    """What the user calls."""
    if work.quantity == works.TRACE:
        if mode == GIVEN:
            return partial(_estimate, v=tf.constant(work.directions()))
        return partial(kc.laplacian, directions=works.DIRECTIONS)
    if work.quantity == works.ALONG:
        return partial(kc.directional_curvature, v=tf.constant(work.directions()[0]), output=0)
    return {
        works.LAPLACIAN: kc.laplacian,
        works.DIAGONAL: kc.hessian_diagonal,
        works.HESSIAN: kc.hessian,
    }[work.quantity]


def _estimate(model: keras.Model, x: tf.Tensor, v: tf.Tensor, engine: str) -> tf.Tensor:
    rows = tf.tile(x, [len(v), *[1] * (x.shape.rank - 1)])
    curvature = kc.directional_curvature(model, rows, tf.reshape(v, rows.shape), engine=engine)
    return tf.reduce_mean(tf.reshape(curvature, v.shape[:2]), axis=0)


def own_directions(work: Work) -> Array:
    """The signs that `kc.laplacian(..., directions=...)` draws, `(k, n, *input_shape)`."""
    shape = [work.points, works.DIRECTIONS, math.prod(work.network.input_shape)]
    signs = np.swapaxes(rademacher(shape, seed=0).numpy(), 0, 1)
    return signs.reshape(works.DIRECTIONS, work.points, *work.network.input_shape)


def _value_and_laplacian(
    model: keras.Model, engine: str
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    def compute(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = kc.derivatives(model, x, ["value", "laplacian"], engine=engine)
        return found["value"], found["laplacian"][:, 0]

    return compute
