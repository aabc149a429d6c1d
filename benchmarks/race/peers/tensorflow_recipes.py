"""What people write with TensorFlow's own tapes, in a graph and with XLA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf

from benchmarks.race import work as works
from benchmarks.race.contenders import XLA
from benchmarks.race.peers import keras_networks
from benchmarks.race.work import Work

Pair = tuple[tf.Tensor, tf.Tensor]
Step = Callable[[], list[tf.Tensor]]


@dataclass(frozen=True)
class Recipe:
    """A way to second derivatives.

    Attributes:
        hessian: from model and `x` to value `(n, 1)` and Hessian `(n, d, d)`.
        diagonal: to value and diagonal `(n, d)`.
        trace: from model, `x` and directions `(k, n, ...)` to the mean of v'Hv, `(n,)`.
    """

    hessian: Callable[[keras.Model, tf.Tensor], Pair]
    diagonal: Callable[[keras.Model, tf.Tensor], Pair]
    trace: Callable[[keras.Model, tf.Tensor, tf.Tensor], tf.Tensor]


def prepare(work: Work, recipe: str, mode: str) -> Callable[[], object]:
    """See `benchmarks.race.peers`."""
    xla = mode == XLA
    if recipe == "matrix product":
        return _matrix_product()
    model = keras_networks.build(work.network)
    x = tf.constant(work.x())
    tf.function(lambda x: model(x, training=False), jit_compile=xla)(x[:2])
    chosen = RECIPES[recipe]
    if work.quantity == works.STEP:
        return training_step(work, model, lambda x: _value_and_laplacian(chosen, model, x), xla)
    if work.quantity == works.TRACE:
        v = tf.constant(work.directions())
        function = tf.function(lambda x, v: chosen.trace(model, x, v), jit_compile=xla)
        return lambda: function(x, v)
    compute = {
        works.LAPLACIAN: lambda x: _value_and_laplacian(chosen, model, x)[1],
        works.DIAGONAL: lambda x: chosen.diagonal(model, x)[1],
        works.HESSIAN: lambda x: chosen.hessian(model, x)[1],
    }[work.quantity]
    function = tf.function(compute, jit_compile=xla)
    return lambda: function(x)


def training_step(
    work: Work, model: keras.Model, value_and_laplacian: Callable[[tf.Tensor], Pair], xla: bool
) -> Step:
    """The gradient of the loss, from values `(n, 1)` and Laplacians `(n,)`, and its descent."""
    x = tf.constant(work.x())
    source, target = (tf.constant(part) for part in work.source_and_target())

    @tf.function(jit_compile=xla)
    def step(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            y, laplacian = value_and_laplacian(x)
            loss = tf.reduce_mean((laplacian - source) ** 2)
            loss += tf.reduce_mean((y[:, 0] - target) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
            weight.assign_sub(works.RATE * gradient)
        return gradients

    return lambda: step(x)


def _value_and_laplacian(recipe: Recipe, model: keras.Model, x: tf.Tensor) -> Pair:
    y, diagonal = recipe.diagonal(model, x)
    return y, tf.reduce_sum(diagonal, axis=1)


def _matrix_product() -> Callable[[], tf.Tensor]:
    """How fast can this machine multiply at all?"""
    a, b = tf.random.normal([2, works.TILE, works.TILE], seed=0)
    return lambda: tf.matmul(a, b)


def _nested_hessian(model: keras.Model, x: tf.Tensor) -> Pair:
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = model(x, training=False)
        gradient = inner.gradient(y, x)
    return y, outer.batch_jacobian(gradient, x)


def _nested_diagonal(model: keras.Model, x: tf.Tensor) -> Pair:
    y, hessian = _nested_hessian(model, x)
    return y, tf.linalg.diag_part(hessian)


def _nested_trace(model: keras.Model, x: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    outer, gradient = _twice(model, x)
    products = tf.vectorized_map(lambda v: outer.gradient(gradient, x, output_gradients=v), v)
    return _mean_curvature(products, v)


def _loop_hessian(model: keras.Model, x: tf.Tensor) -> Pair:
    outer, y, columns = _columns(model, x)
    return y, tf.stack([outer.gradient(column, x) for column in columns], axis=1)


def _loop_diagonal(model: keras.Model, x: tf.Tensor) -> Pair:
    outer, y, columns = _columns(model, x)
    entries = [outer.gradient(column, x)[:, i] for i, column in enumerate(columns)]
    return y, tf.stack(entries, axis=1)


def _loop_trace(model: keras.Model, x: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    outer, gradient = _twice(model, x)
    products = [outer.gradient(gradient, x, output_gradients=some) for some in tf.unstack(v)]
    return _mean_curvature(tf.stack(products), v)


def _twice(model: keras.Model, x: tf.Tensor) -> tuple[tf.GradientTape, tf.Tensor]:
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = model(x, training=False)
        gradient = inner.gradient(y, x)
    return outer, gradient


def _columns(
    model: keras.Model, x: tf.Tensor
) -> tuple[tf.GradientTape, tf.Tensor, list[tf.Tensor]]:
    """The gradient's entries one by one, on a tape."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = model(x, training=False)
        columns = tf.unstack(inner.gradient(y, x), axis=1)
    return outer, y, columns


def _forward_hessian(model: keras.Model, x: tf.Tensor) -> Pair:
    n, d = x.shape
    axes = tf.tile(tf.eye(d), [n, 1])
    y, products = _forward_over_reverse(model, tf.repeat(x, d, axis=0), axes)
    return tf.reshape(y, [n, d, 1])[:, 0], tf.reshape(products, [n, d, d])


def _forward_diagonal(model: keras.Model, x: tf.Tensor) -> Pair:
    n, d = x.shape
    axes = tf.tile(tf.eye(d), [n, 1])
    y, products = _forward_over_reverse(model, tf.repeat(x, d, axis=0), axes)
    entries = tf.reduce_sum(products * axes, axis=1)
    return tf.reshape(y, [n, d, 1])[:, 0], tf.reshape(entries, [n, d])


def _forward_trace(model: keras.Model, x: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    rows = tf.tile(x, [len(v), *[1] * (x.shape.rank - 1)])
    _, products = _forward_over_reverse(model, rows, tf.reshape(v, rows.shape))
    return _mean_curvature(tf.reshape(products, v.shape), v)


def _forward_over_reverse(model: keras.Model, rows: tf.Tensor, directions: tf.Tensor) -> Pair:
    """Hessian-vector products of examples repeated once per direction."""
    with tf.autodiff.ForwardAccumulator(rows, directions) as accumulator:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            y = model(rows, training=False)
        gradient = tape.gradient(y, rows)
    return y, accumulator.jvp(gradient)


def _per_example_hessian(model: keras.Model, x: tf.Tensor) -> Pair:
    def one(example: tf.Tensor) -> Pair:
        y = model(example[None], training=False)[0]
        return y, tf.hessians(y, example)[0]

    return tf.map_fn(one, x, fn_output_signature=(tf.float32, tf.float32))


def _per_example_diagonal(model: keras.Model, x: tf.Tensor) -> Pair:
    y, hessian = _per_example_hessian(model, x)
    return y, tf.linalg.diag_part(hessian)


def _per_example_trace(model: keras.Model, x: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """The Hessian of `t -> f(x + Σ t_k v_k)` at 0: the whole one would be far larger."""

    def one(given: Pair) -> tf.Tensor:
        example, directions = given
        t = tf.zeros(len(directions))
        y = model((example + tf.tensordot(t, directions, 1))[None], training=False)
        return tf.linalg.trace(tf.hessians(y, t)[0]) / len(directions)

    swapped = tf.experimental.numpy.swapaxes(v, 0, 1)
    return tf.map_fn(one, (x, swapped), fn_output_signature=tf.float32)


def _mean_curvature(products: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    flat = tf.reshape(products * v, [*v.shape[:2], -1])
    return tf.reduce_mean(tf.reduce_sum(flat, axis=2), axis=0)


RECIPES = {
    "nested tape": Recipe(_nested_hessian, _nested_diagonal, _nested_trace),
    "tape loop": Recipe(_loop_hessian, _loop_diagonal, _loop_trace),
    "forward over reverse": Recipe(_forward_hessian, _forward_diagonal, _forward_trace),
    "tf.hessians": Recipe(_per_example_hessian, _per_example_diagonal, _per_example_trace),
}
