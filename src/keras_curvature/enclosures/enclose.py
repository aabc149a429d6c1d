"""Bounds of a model and of its derivatives over boxes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_curvature.enclosures.boxes import as_boxes, unfolded
from keras_curvature.enclosures.encloser import encloser_of
from keras_curvature.engines.api import Options, as_direction, bind, requested
from keras_curvature.engines.backend import computing_in, require_eager
from keras_curvature.engines.quantities import (
    BIHARMONIC,
    DIRECTIONAL,
    DIVERGENCE,
    PRODUCT,
    highest_order,
)
from keras_curvature.typing import Model, Names, Output, Structure


def enclose(
    model: Model,
    low: Structure,
    high: Structure,
    names: Names = "value",
    *,
    v: Structure | None = None,
    output: Output = None,
) -> dict[str, Any]:
    """Bounds a model and its derivatives over whole boxes, not at points.

    The bounds are sound: for every point of a box, what the model and its derivatives are there is
    within them. They are not the narrowest; they get narrower with the boxes.

    Args:
        model: see `derivatives`. Its weights are taken as the real numbers that they are, so that
            what is bounded is the function of real numbers that they stand for; a float32 model
            computes it up to its own rounding. What it computes of its weights alone, such as the
            scale of a `BatchNormalization`, is taken as float64 has it. Recurrent layers need
            `unroll=True`.
        low: the lower ends of the boxes, `(batch, *input_shape)`, or the structure of such that
            the model takes.
        high: the upper ends. Where both are the same, an input is held.
        names: any of `"value"`, `"jacobian"`, `"hessian_diagonal"`, `"hessian"`, `"laplacian"` and
            `"directional_curvature"`, or a dict from names of your own to these and to partial
            derivatives up to order 2, as `derivatives` takes them. What is not asked for costs
            nothing: a second derivative along one input takes one direction.
        v: the direction for `"directional_curvature"`.
        output: which output, see `derivatives`.

    Returns:
        A dict from each name to a pair of NumPy arrays in float64, the lower and the upper bounds,
        in the shapes that `derivatives` gives.

        Where a kink can be inside of a box (ReLU), second derivatives are bounded as measures: a
        slope that jumps upwards has the upper bound infinity, one that jumps downwards the lower
        bound minus infinity. A lower bound of 0 or more proves that the function is convex along
        the line, kinks included. See `keras_curvature.enclosures.functions`.

    Example:
        >>> import keras_curvature as kc
        >>> low, high = kc.enclose(lambda x: x**2 - x, [[0.0]], [[2.0]], "jacobian")["jacobian"]
        >>> bool(low[0, 0, 0] <= -1), bool(high[0, 0, 0] >= 3)
        (True, True)

    Raises:
        ValueError: for boxes that do not fit the model, are not finite or have their ends in the
            wrong order, an unknown name, and for a model with an op that has no rule, before
            anything is computed; the message names the op and the layer.
        TypeError: for whole numbers in place of floats.
    """
    require_eager("enclose")
    asked = requested(names)
    bound = bind(model, low, Options(output=output, dtype="float64"))
    quantity = bound.quantities_of(asked)
    for name, what in quantity.items():
        if what in (PRODUCT, DIVERGENCE, BIHARMONIC) or highest_order([what]) > 2:
            raise ValueError(
                "Bounds are known of the value, and of first and second derivatives by name. "
                f"Received: {name!r}. Ask for 'hessian', or for partial derivatives."
            )
    lower, upper = as_boxes(model, low, high)
    along = None
    if DIRECTIONAL in quantity.values():
        with computing_in(bound.f.dtype):
            along = np.asarray(keras.ops.convert_to_numpy(as_direction(bound, v)), np.float64)
        if not np.isfinite(along).all():
            raise ValueError(f"`v` must hold finite numbers. Received: {v!r}.")
    found = encloser_of(model, bound)(lower, upper, tuple(dict.fromkeys(quantity.values())), along)
    return {
        name: tuple(unfolded(end, *bound.layouts(quantity[name])) for end in found[quantity[name]])
        for name in asked
    }
