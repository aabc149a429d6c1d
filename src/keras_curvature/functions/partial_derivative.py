"""One partial derivative of a Keras model with respect to its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_curvature.engines.api import Options, differentiate, requested
from keras_curvature.engines.backend import not_converted
from keras_curvature.typing import Columns, Input, Model, Output, Structure, Wrt


@not_converted
def partial_derivative(
    model: Model,
    x: Structure,
    by: Sequence[Input],
    *,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes one partial derivative of order 1 to 4.

    A derivative along one input is a coefficient of the power series along it, which goes
    through the model once. A mixed one is made of those along a few directions, 2 for `(0, 1)`, 3
    for `(0, 0, 1)`, 4 for `(0, 0, 1, 1)` (Griewank, Utke and Walther, Evaluating higher derivative
    tensors by forward propagation of univariate Taylor series, Mathematics of Computation 69,
    2000; by the formula of Kan, From moments of sum to moments of product, Journal of Multivariate
    Analysis 99, 2008). `derivatives` has several share their directions.

    Args:
        model: see `derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        by: the inputs, each as often as the derivative is taken by it, in any order; as in a dict
            of `names` of `derivatives`.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape)`.

    Example:
        >>> import keras_curvature as kc
        >>> float(kc.partial_derivative(lambda x: x**4, [[2.0]], (0, 0, 0))[0, 0])
        48.0

    Raises:
        ValueError: for an order that is not 1 to 4, and for an input that there is not.
    """
    asked = requested({"by": tuple(by)})
    options = Options(output, wrt, engine, dtype, batch_size, columns)
    return differentiate(model, x, asked, None, options)["by"]
