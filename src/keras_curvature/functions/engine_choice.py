"""Which engine would compute a derivative of a model, and why."""

from __future__ import annotations

from keras_curvature.engines import api
from keras_curvature.engines.backend import not_converted
from keras_curvature.typing import Columns, Model, Names, Output, Structure, Wrt


@not_converted
def engine_choice(
    model: Model,
    x: Structure,
    names: Names,
    *,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
) -> api.EngineChoice:
    """Tells which engine computes these derivatives, and why.

    `engine="auto"` takes Taylor propagation, except for whole Hessians of models with loops,
    branches, more than 16 outputs or ops without a rule, and for single Hessian-vector
    products, where reverse mode over reverse mode takes fewer passes, and where the graph does not
    know how many axes a tensor has.

    Args:
        model: see `derivatives`, as for the other arguments.
        x: the batch.
        names: of the derivatives, as in `derivatives`.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: what would be asked for.
        dtype: the narrowest dtype to evaluate in.

    Returns:
        The choice with its `name`, its `reason` and its `fallbacks`, ops without a rule, which
        Taylor propagation asks TensorFlow about one direction at a time. Prints as a sentence.

    Example:
        >>> import keras_curvature as kc
        >>> print(kc.engine_choice(lambda x: x**2, [[0.5]], ["laplacian"]))
        engine 'taylor': exact, by second-order Taylor propagation
    """
    options = api.Options(output, wrt, engine, dtype, columns=columns)
    return api.engine_choice(model, x, api.requested(names), options)
