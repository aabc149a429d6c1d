"""The derivatives of a Keras model with respect to its input, one function each.

All functions take:

- `model`: a built Keras model or layer, run in inference mode (`training=False`), or any
  function of a tensor. Examples of a batch must not influence each other.
- `x`: the batch, shape `(batch, *input_shape)`, or the list, tuple or dict that the model
  takes. NumPy arrays and tensors, eagerly or inside a `tf.function`.
- `output`: which output to differentiate. `None`: all of it. An int: an index on the last
  axis (which stays, with length 1), or of an output if the model has several. A name of an
  output. A function of the model's output.
- `wrt`: with respect to what. `None`: the model's input(s). The index or name of one input.
  The name of a layer: that layer's output, the only meaningful choice for token ids.
- `engine`: `"nested"` (reverse over reverse), `"finite_difference"` (differences of exact
  gradients in float64), or `"auto"`.
- `dtype`: the narrowest dtype to evaluate in. `None`: float32 or better. `"float64"`
  evaluates any model in float64, with the weights that it has.
- `batch_size`: examples at a time. `None`: as many as keep memory bounded.

Results are tensors in the structure and shapes of the table below, differentiable with
respect to the weights and to `x`. Inputs of several arrays give the structure back;
outputs of several arrays are the outermost structure.

| function | shape |
|---|---|
| `jacobian` | `(batch, *output_shape, *input_shape)` |
| `hessian` | `(batch, *output_shape, *input_shape, *input_shape)` |
| `hessian_diagonal` | `(batch, *output_shape, *input_shape)` |
| `laplacian` | `(batch, *output_shape)` |
| `directional_curvature` | `(batch, *output_shape)` |
| `hessian_vector_product` | `(batch, *output_shape, *input_shape)` |
| `scale_curvature` | as `hessian_diagonal` |

Every function raises `ValueError` or `TypeError` for what does not fit the model, and for
a model whose output depends on its input only through ops that have no derivative; the
message names the op and the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_curvature.engines import quantities
from keras_curvature.engines.evaluation import Options, differentiate
from keras_curvature.typing import Model, Output, Structure, Wrt


@tf.autograph.experimental.do_not_convert
def derivatives(
    model: Model,
    x: Structure,
    names: Sequence[str],
    *,
    v: Structure | None = None,
    output: Output = None,
    wrt: Wrt = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Computes several derivatives at once, sharing the work between them.

    Args:
        model: see the module's docstring, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        names: any of `"value"`, `"jacobian"`, `"hessian"`, `"hessian_diagonal"`,
            `"laplacian"`, `"directional_curvature"`, `"hessian_vector_product"`.
        v: the direction for the last two, in the shape of `x` or of one example.
        output: which output to differentiate.
        wrt: with respect to what.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        A dict from each name to its result.

    Example:
        >>> import keras_curvature as kc
        >>> result = kc.derivatives(lambda x: x**3, [[2.0]], ["value", "laplacian"])
        >>> {name: float(tensor[0, 0]) for name, tensor in result.items()}
        {'value': 8.0, 'laplacian': 12.0}
    """
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in quantities.NAMES]
    if unknown or not wanted:
        raise ValueError(f"`names` must be some of {list(quantities.NAMES)}. Received: {names!r}.")
    return differentiate(model, x, wanted, v, Options(output, wrt, engine, dtype, batch_size))


def _single(name: str, model: Model, x: Structure, v: Structure | None, **options: Any) -> Any:
    return derivatives(model, x, [name], v=v, **options)[name]


def jacobian(
    model: Model,
    x: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the first derivatives of every output by every input.

    Args:
        model: see the module's docstring, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        output: which output to differentiate.
        wrt: with respect to what.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape, *input_shape)`, `dy / dx`.

    Example:
        >>> import keras_curvature as kc
        >>> float(kc.jacobian(lambda x: x**2, [[3.0]])[0, 0, 0])
        6.0
    """
    return _single(
        "jacobian",
        model,
        x,
        None,
        output=output,
        wrt=wrt,
        engine=engine,
        dtype=dtype,
        batch_size=batch_size,
    )


def hessian(
    model: Model,
    x: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes all second derivatives of every output.

    Args:
        model: see the module's docstring, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        output: which output to differentiate.
        wrt: with respect to what.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape, *input_shape, *input_shape)`, `d2y / dx_i dx_j`.

    Example:
        >>> import keras_curvature as kc
        >>> kc.hessian(lambda x: x[:, :1] * x[:, 1:], [[3.0, 4.0]])[0, 0].numpy().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    return _single(
        "hessian",
        model,
        x,
        None,
        output=output,
        wrt=wrt,
        engine=engine,
        dtype=dtype,
        batch_size=batch_size,
    )


def hessian_diagonal(
    model: Model,
    x: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the second derivative along each input.

    Args:
        model: see the module's docstring, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        output: which output to differentiate.
        wrt: with respect to what.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape, *input_shape)`, `d2y / dx_i2`.

    Example:
        >>> import keras_curvature as kc
        >>> kc.hessian_diagonal(lambda x: x**2 * [1.0, 2.0], [[3.0, 4.0]])[0, 1].numpy().tolist()
        [0.0, 4.0]
    """
    return _single(
        "hessian_diagonal",
        model,
        x,
        None,
        output=output,
        wrt=wrt,
        engine=engine,
        dtype=dtype,
        batch_size=batch_size,
    )


def laplacian(
    model: Model,
    x: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the sum of the second derivatives along each input.

    Args:
        model: see the module's docstring, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        output: which output to differentiate.
        wrt: with respect to what.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape)`, the trace of the Hessian over all inputs together.

    Example:
        >>> import keras_curvature as kc
        >>> def paraboloid(x):
        ...     return x[:, :1] ** 2 + 3 * x[:, 1:] ** 2
        >>> float(kc.laplacian(paraboloid, [[0.5, 0.5]])[0, 0])
        8.0
    """
    return _single(
        "laplacian",
        model,
        x,
        None,
        output=output,
        wrt=wrt,
        engine=engine,
        dtype=dtype,
        batch_size=batch_size,
    )


def directional_curvature(
    model: Model,
    x: Structure,
    v: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the second derivative along a direction, `v^T H v`.

    Args:
        model: see the module's docstring, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        v: the direction, in the shape of `x` (one for each example) or of one example.
        output: which output to differentiate.
        wrt: with respect to what.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape)`. `v` is not normalised: twice the direction gives four
        times the curvature.

    Example:
        >>> import keras_curvature as kc
        >>> float(kc.directional_curvature(lambda x: x**2, [[3.0]], [2.0])[0, 0])
        8.0
    """
    return _single(
        "directional_curvature",
        model,
        x,
        v,
        output=output,
        wrt=wrt,
        engine=engine,
        dtype=dtype,
        batch_size=batch_size,
    )


def hessian_vector_product(
    model: Model,
    x: Structure,
    v: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the Hessian times a direction, `H v`, without the Hessian.

    Args:
        model: see the module's docstring, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        v: the direction, in the shape of `x` (one for each example) or of one example.
        output: which output to differentiate.
        wrt: with respect to what.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape, *input_shape)` (Pearlmutter, Fast exact multiplication by the
        Hessian, Neural Computation 6, 1994).

    Example:
        >>> import keras_curvature as kc
        >>> def saddle(x):
        ...     return x[:, :1] * x[:, 1:]
        >>> kc.hessian_vector_product(saddle, [[3.0, 4.0]], [1.0, 0.0])[0, 0].numpy().tolist()
        [0.0, 1.0]
    """
    return _single(
        "hessian_vector_product",
        model,
        x,
        v,
        output=output,
        wrt=wrt,
        engine=engine,
        dtype=dtype,
        batch_size=batch_size,
    )
