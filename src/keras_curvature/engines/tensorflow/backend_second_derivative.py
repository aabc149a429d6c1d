"""TensorFlow's own second derivative: two nested tapes, as anyone would write it."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from keras_curvature.engines.tensorflow.flat_function import FlatFunction

NAME, ASKED = "TensorFlow", "Two nested tapes"
"""Whose it is, and what is asked for it."""

OF_NOTHING = "TensorFlow's own tapes say None"
"""What the answer is where nothing depends on the input."""

NOT_TO_TAKE = "nested tapes, jacobian or tf.hessians"
"""What else has this derivative."""

NO_GRADIENT = r"gradient registry has no entry for: (\S+)"
"""In what is raised where an operation has none: its name."""

WORDS = {"StopGradient": "moments"}
"""What an op that is mended is called, where its type says little."""

REASONS = {
    **dict.fromkeys(
        [f"FakeQuantWithMinMax{of}" for of in ("Args", "Vars", "VarsPerChannel")],
        "The gradient of a quantised number counts as a constant.",
    ),
    "HSVToRGB": "The colours count as constants.",
    "MaxPool": "A compiled graph can lose it.",
    "MaxPool3D": "A compiled graph can lose it.",
    "ResizeBilinear": "The gradient of a resized image counts as a constant.",
    "SoftmaxCrossEntropyWithLogits": "That the gradient depends on the labels is left out.",
    "StopGradient": "tf.nn.moments stops the gradient at the mean, which is right at first order "
    "only.",
}
"""Why it is wrong."""


def backend_second_derivative(
    f: FlatFunction, z: tf.Tensor, rest: Sequence[tf.Tensor], v: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """`v' H v` of a weighted sum of the outputs, `(n,)`, of the graph as it is.

    Args:
        f: the model, not mended.
        z: points.
        rest: the other inputs.
        v: directions in float64, `(n, d)`.
        weights: of the outputs.
    """
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            y = tf.reduce_sum(tf.cast(f(z, rest), v.dtype) * weights, axis=1)
        slope = _along(inner.gradient(y, z), v)
    second = None if slope is None else _along(outer.gradient(slope, z), v)
    return tf.zeros_like(y) if second is None else second


def _along(gradient: tf.Tensor | None, v: tf.Tensor) -> tf.Tensor | None:
    """`g v` for each example, in float64; `None` where TensorFlow says None."""
    return None if gradient is None else tf.reduce_sum(tf.cast(gradient, v.dtype) * v, axis=1)


def half_of(f: FlatFunction) -> str:
    """The 16-bit dtype that the model computes in, or `""`."""
    outputs = (t for op in f.traced.graph.get_operations() for t in op.outputs)
    return next((t.dtype.name for t in outputs if t.dtype in (tf.float16, tf.bfloat16)), "")
