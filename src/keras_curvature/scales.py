"""The distance over which curvature is measured where a network has kinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_curvature.engines import chunks, finite_difference
from keras_curvature.engines.evaluation import Options, pose, run_chunked
from keras_curvature.engines.layout import Layout, unflatten
from keras_curvature.typing import Model, Output, Structure, Wrt

AUTO_FRACTION = 0.25
"""`scale="auto"` in standard deviations of an input.

Wide enough to hold many kinks of a ReLU network, whose curvature at a smaller scale is
noise point by point, and narrow against the whole range of the data.
"""


@tf.autograph.experimental.do_not_convert
def scale_curvature(
    model: Model,
    x: Structure,
    scale: Any = "auto",
    *,
    output: Output = None,
    wrt: Wrt = None,
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes how curved a model is along each input over a distance, kinks included.

    `(f(x + h) - 2 f(x) + f(x - h)) / h**2` is the second derivative averaged over
    `[x - h, x + h]` with triangular weights. A ReLU network's exact second derivative is 0
    and all its curvature sits in kinks; this counts them. The differences are taken in
    float64 whatever the model's dtype, so that a small `h` is limited by the network and
    not by rounding.

    Args:
        model: see `keras_curvature.derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        scale: `h` in units of the input: a number; an array in the shape of one example;
            a list or tuple of these for several scales; or `"auto"`, a quarter of each
            input's standard deviation over `x` (1/4 where that is 0).
        output: which output to differentiate.
        wrt: with respect to what.
        dtype: the dtype of the result; `None` for the model's own, float32 or better.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape, *input_shape)`; for a list of scales one more axis in front.

    Raises:
        ValueError: for a scale that is not positive and finite, or of a wrong shape.

    Source:
        The triangular weight is the Peano kernel of the central second difference (Davis,
        Interpolation and Approximation, 1975, section 3.7).

    Example:
        >>> import keras_curvature as kc
        >>> import tensorflow as tf
        >>> float(kc.laplacian(tf.abs, [[0.0]])[0, 0])
        0.0
        >>> float(kc.scale_curvature(tf.abs, [[0.0]], scale=0.5)[0, 0, 0])
        4.0
    """
    options = Options(output, wrt, "finite_difference", dtype, batch_size)
    problem = pose(model, x, options, in_float64=True)
    layout = problem.f.inputs
    several = isinstance(scale, (list, tuple))
    z, _ = problem.f.point(problem.inputs.leaves)
    found = []
    for one in scale if several else [scale]:
        h = tf.cast(resolve(one, layout, lambda: spread(z)), z.dtype)
        found.append(_at_one_scale(problem, tf.repeat(h[None], tf.shape(z)[0], axis=0), batch_size))
    if not several:
        return unflatten(found[0], problem.f.outputs, layout)
    if not found:
        raise ValueError("`scale` is an empty list. Give at least one scale.")
    results = [unflatten(one, problem.f.outputs, layout) for one in found]
    return tf.nest.map_structure(lambda *parts: tf.stack(parts), *results)


def _at_one_scale(problem: Any, h: tf.Tensor, batch_size: int | None) -> tf.Tensor:
    f = problem.f
    d, m = f.inputs.width, f.outputs.width

    def compute(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        *leaves, h = tensors
        z, rest = f.point(leaves)
        differences = finite_difference.second_differences(f, z, rest, h)
        return {"scale": tf.cast(differences, problem.result_dtype)}

    at_once = chunks.rows_at_once(f.audit.activations + 2 * d, tf.float64)
    signature = {"scale": tf.TensorSpec([None, m, d], problem.result_dtype)}
    size = batch_size or max(1, at_once // (2 * d + 1))
    tensors = (*problem.inputs.leaves, h)
    return run_chunked(problem, "scale", compute, tensors, size, signature)["scale"]


def resolve(scale: Any, layout: Layout, spread_of_inputs: Any) -> tf.Tensor:
    """One positive number per input, shape `(d,)`, from what the user gave for one scale.

    Args:
        scale: `"auto"`, a number, or an array in the shape of one example.
        layout: how the inputs lie.
        spread_of_inputs: called for the standard deviations where they are needed.
    """
    if isinstance(scale, str):
        if scale != "auto":
            raise ValueError(_message(scale, layout))
        return AUTO_FRACTION * spread_of_inputs()
    try:
        values = np.asarray(scale, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(_message(scale, layout)) from error
    if not (np.all(np.isfinite(values)) and np.all(values > 0)):
        raise ValueError(_message(scale, layout))
    if values.ndim and values.size != layout.width:
        raise ValueError(_message(scale, layout))
    return tf.constant(np.broadcast_to(values.reshape(-1), [layout.width]))


def spread(z: tf.Tensor) -> tf.Tensor:
    """The standard deviation of each column, 1 where it is 0 (a constant input)."""
    deviation = tf.math.reduce_std(z, axis=0)
    return tf.where(deviation > 0, deviation, tf.ones_like(deviation))


def _message(scale: Any, layout: Layout) -> str:
    shapes: Sequence[Any] = layout.shapes if len(layout.shapes) > 1 else layout.shapes[0]
    return (
        "`scale` must be 'auto', a positive number, or positive numbers in the shape of one "
        f"example {shapes}; a list of these for several scales. Received: {scale!r}."
    )
