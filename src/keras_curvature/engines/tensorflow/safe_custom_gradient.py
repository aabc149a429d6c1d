"""Functions with a gradient of their own, in branches and loops too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_curvature.engines.tensorflow import private


def safe_custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """`tf.custom_gradient`, whose gradient refers to tensors of the graph that it is called in.

    It goes with that graph.

    TensorFlow hands on the arguments as they are. Where a gradient calls another such function, in
    the gradient of a branch, these are tensors of the branch, and its second gradient fails.
    """
    inner = tf.custom_gradient(function)

    @functools.wraps(function)
    def called(*inputs: tf.Tensor) -> Any:
        if tf.executing_eagerly() and not private.watched_by_tapes():
            return function(*inputs)[0]  # nobody asks for a gradient
        results = inner(*map(tf.identity, inputs))
        first = results[0] if isinstance(results, (list, tuple)) else results
        if tf.is_symbolic_tensor(first):
            private.keep_gradient_with_graph(first.op)
        return results

    return called
