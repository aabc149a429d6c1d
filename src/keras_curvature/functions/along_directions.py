"""Second derivatives of a Keras model along directions, of one or of several at once."""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.api import Options, differentiate
from keras_curvature.engines.backend import not_converted
from keras_curvature.engines.quantities import DIRECTIONAL, PRODUCT
from keras_curvature.typing import Columns, Model, Output, Structure, Wrt


@not_converted
def directional_curvature(
    model: Model,
    x: Structure,
    v: Structure,
    *,
    directions: bool = False,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the second derivative along a direction, `v^T H v`.

    Args:
        model: see `derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        v: the direction, in the shape of `x` (one for each example) or of one example. Or several
            at once, which go through the model together: `(batch, k, *input_shape)`, or for all
            examples `(k, *input_shape)` with `directions=True`. Of several inputs their structure.
        directions: whether `v` is several directions for all examples, also where that is the
            shape of `x`, one direction for each.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape)`; along several directions `(batch, k, *output_shape)`. `v` is not
        normalised, so twice the direction gives four times the curvature.

    Example:
        >>> import numpy as np, keras_curvature as kc
        >>> float(kc.directional_curvature(lambda x: x**2, [[3.0]], [2.0])[0, 0])
        8.0
        >>> v = [[1.0], [2.0], [3.0]]
        >>> along = kc.directional_curvature(lambda x: x**2, [[3.0]], v, directions=True)
        >>> np.asarray(along)[0, :, 0].tolist()
        [2.0, 8.0, 18.0]

    Raises:
        ValueError: for directions of a shape that does not fit `x`.
    """
    options = Options(output, wrt, engine, dtype, batch_size, columns)
    return differentiate(model, x, {DIRECTIONAL: DIRECTIONAL}, v, options, directions)[DIRECTIONAL]


@not_converted
def hessian_vector_product(
    model: Model,
    x: Structure,
    v: Structure,
    *,
    directions: bool = False,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the Hessian times a direction, `H v`, without the Hessian.

    Args:
        model: see `derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        v: the direction, in the shape of `x` (one for each example) or of one example. Or several
            at once, which go through the model together: `(batch, k, *input_shape)`, or for all
            examples `(k, *input_shape)` with `directions=True`. Of several inputs their structure.
        directions: whether `v` is several directions for all examples, also where that is the
            shape of `x`, one direction for each.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape, *input_shape)`, of several directions
        `(batch, k, *output_shape, *input_shape)` (Pearlmutter, Fast exact multiplication by the
        Hessian, Neural Computation 6, 1994).

    Example:
        >>> import numpy as np, keras_curvature as kc
        >>> def saddle(x):
        ...     return x[:, :1] * x[:, 1:]
        >>> found = kc.hessian_vector_product(saddle, [[3.0, 4.0]], [1.0, 0.0])
        >>> np.asarray(found)[0, 0].tolist()
        [0.0, 1.0]
        >>> both = kc.hessian_vector_product(saddle, [[3.0, 4.0]], np.eye(2), directions=True)
        >>> np.asarray(both)[0, :, 0].tolist()
        [[0.0, 1.0], [1.0, 0.0]]

    Raises:
        ValueError: for directions of a shape that does not fit `x`.
    """
    options = Options(output, wrt, engine, dtype, batch_size, columns)
    return differentiate(model, x, {PRODUCT: PRODUCT}, v, options, directions)[PRODUCT]
