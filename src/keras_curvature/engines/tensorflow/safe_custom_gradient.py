"""Functions with a gradient of their own, in branches and loops too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def safe_custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """`tf.custom_gradient`, whose gradient refers to tensors of the graph that it is called in.

    TensorFlow hands on the arguments as they are. Where a gradient calls another such function, in
    the gradient of a branch, these are tensors of the branch, and its second gradient fails.
    """
    inner = tf.custom_gradient(function)

    @functools.wraps(function)
    def called(*inputs: tf.Tensor) -> Any:
        return inner(*map(tf.identity, inputs))

    return called
