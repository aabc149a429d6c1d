"""TensorFlow's own ways to a second derivative, each as anyone would write it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines.ways import Function, Way, of_hessians
from keras_curvature.typing import Array

Along = Callable[[Function, tf.Tensor, tf.Tensor, int], list[Any]]
"""The second derivatives along a direction of each of so many outputs, a list of `(batch,)`."""


def _flat(f: Function, x: tf.Tensor) -> tf.Tensor:
    """The outputs, `(batch, outputs)`."""
    y = tf.convert_to_tensor(f(x))
    return tf.reshape(y, [y.shape[0], -1])


def _dot(gradient: Any, v: tf.Tensor) -> Any:
    """`g v` of every example; 0 for what TensorFlow says None of."""
    if gradient is None:
        return tf.zeros(v.shape[:1], v.dtype)
    return tf.reduce_sum(tf.reshape(gradient * v, [v.shape[0], -1]), axis=1)


def _counted(shape: tf.TensorShape) -> int:
    """How many outputs there are."""
    return math.prod(shape[1:])


def reverse_over_reverse(f: Function, x: tf.Tensor, v: tf.Tensor, outputs: int) -> list[Any]:
    """A tape in a tape."""
    found = []
    for j in range(outputs):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(_flat(f, x)[:, j])
            slope = _dot(inner.gradient(y, x), v)
        found.append(_dot(outer.gradient(slope, x), v))
    return found


def forward_over_reverse(f: Function, x: tf.Tensor, v: tf.Tensor, outputs: int) -> list[Any]:
    """A tape in a `ForwardAccumulator`."""
    found = []
    for j in range(outputs):
        with tf.autodiff.ForwardAccumulator(x, v) as forward:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(_flat(f, x)[:, j])
            gradient = tape.gradient(y, x)
        found.append(_dot(None if gradient is None else forward.jvp(gradient), v))
    return found


def reverse_over_forward(f: Function, x: tf.Tensor, v: tf.Tensor, outputs: int) -> list[Any]:
    """A `ForwardAccumulator` in a tape."""
    found = []
    for j in range(outputs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            with tf.autodiff.ForwardAccumulator(x, v) as forward:
                y = _flat(f, x)[:, j]
            slope = forward.jvp(y)
        found.append(_dot(None if slope is None else tape.gradient(slope, x), v))
    return found


def forward_over_forward(f: Function, x: tf.Tensor, v: tf.Tensor, outputs: int) -> list[Any]:
    """A `ForwardAccumulator` in another."""
    with tf.autodiff.ForwardAccumulator(x, v) as outer:
        with tf.autodiff.ForwardAccumulator(x, v) as inner:
            y = _flat(f, x)
        slope = inner.jvp(y)
    second = None if slope is None else outer.jvp(slope)
    return tf.unstack(tf.zeros_like(y) if second is None else second, outputs, axis=1)


def _way(name: str, along: Along, also: tuple[str, ...] = (), **compiled: Any) -> Way:
    """A way, run eagerly or as `tf.function` with keywords."""

    def run(f: Function, x: Array, v: Array) -> Array:
        def stacked(x: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
            return tf.stack(along(f, x, v, _counted(shape)), axis=1)

        given, direction = tf.constant(x), tf.constant(v, x.dtype)
        shape = tf.convert_to_tensor(f(given)).shape
        function = stacked
        if compiled:
            # Traced by hand: TensorFlow warns of functions that it is handed anew each time.
            function = tf.function(stacked, **compiled).get_concrete_function(given, direction)
        return np.asarray(function(given, direction)).reshape(shape)

    return Way(name, run, None, also)


def tapes_and_batch_jacobian(f: Function, x: Array) -> Array:
    """`batch_jacobian` of the gradient of every output."""
    given = tf.constant(x)
    shape = tf.convert_to_tensor(f(given)).shape
    found = []
    for j in range(_counted(shape)):
        with tf.GradientTape() as outer:
            outer.watch(given)
            with tf.GradientTape() as inner:
                inner.watch(given)
                y = tf.reduce_sum(_flat(f, given)[:, j])
            gradient = inner.gradient(y, given)
        second = None if gradient is None else outer.batch_jacobian(gradient, given)
        zeros = np.zeros((*x.shape, *x.shape[1:]), x.dtype)
        found.append(zeros if second is None else np.asarray(second))
    return np.stack(found, axis=1).reshape(*shape, *x.shape[1:], *x.shape[1:])


def hessians(f: Function, x: Array) -> Array:
    """`tf.hessians` of every output, in a graph, one example after the other."""
    given = tf.constant(x)
    shape = tf.convert_to_tensor(f(given)).shape

    @tf.function
    def of_one(one: tf.Tensor) -> list[tf.Tensor]:
        y = _flat(f, one)[0]
        found = [tf.hessians(y[j], one)[0] for j in range(y.shape[0])]
        zeros = tf.zeros([*one.shape, *one.shape], one.dtype)
        return [zeros if second is None else second for second in found]

    rows = [np.stack([np.asarray(h) for h in of_one(given[i : i + 1])]) for i in range(len(x))]
    return np.stack(rows).reshape(*shape, *x.shape[1:], *x.shape[1:])


WAYS = (
    _way("tape in tape", reverse_over_reverse, ("tensorflow reverse over reverse", "tapes")),
    _way("tape in tape in tf.function", reverse_over_reverse, autograph=False),
    _way("tape in tape under XLA", reverse_over_reverse, autograph=False, jit_compile=True),
    _way("tensorflow forward over reverse", forward_over_reverse),
    _way("tensorflow reverse over forward", reverse_over_forward),
    _way("tensorflow forward over forward", forward_over_forward),
    of_hessians("tape in tape with batch_jacobian", tapes_and_batch_jacobian, ("batch_jacobian",)),
    of_hessians("tf.hessians", hessians),
)
