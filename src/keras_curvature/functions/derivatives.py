"""The derivatives of a Keras model with respect to its input, one function each."""

from __future__ import annotations

from typing import Any

from keras_curvature.engines.api import Options, differentiate, requested
from keras_curvature.engines.backend import not_converted
from keras_curvature.typing import Columns, Model, Names, Output, Structure, Wrt


@not_converted
def derivatives(
    model: Model,
    x: Structure,
    names: Names,
    *,
    v: Structure | None = None,
    directions: bool = False,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Computes several derivatives at once, sharing the work between them.

    The other functions here are this one for a single name, and take the same arguments.

    | name | shape |
    |---|---|
    | `"value"` | `(batch, *output_shape)` |
    | `"jacobian"` | `(batch, *output_shape, *input_shape)` |
    | `"hessian"` | `(batch, *output_shape, *input_shape, *input_shape)` |
    | `"hessian_diagonal"` | `(batch, *output_shape, *input_shape)` |
    | `"laplacian"` | `(batch, *output_shape)` |
    | `"directional_curvature"` | `(batch, *output_shape)` |
    | `"hessian_vector_product"` | `(batch, *output_shape, *input_shape)` |
    | `"divergence"` | `(batch,)` |
    | `"biharmonic"` | `(batch, *output_shape)` |
    | a partial derivative | `(batch, *output_shape)` |

    No axis is squeezed. Inputs of several arrays give their structure back: `jacobian`,
    `hessian_diagonal` and `hessian_vector_product` once, `hessian` a structure of structures,
    while `laplacian` sums over it. Outputs of several arrays are the outermost structure.

    Results are tensors, differentiable with respect to the weights and to `x`. All functions
    work eagerly, inside `tf.function` and under XLA. Called eagerly, the model is traced and
    compiled once, and again only when its layers change.

    Whatever else a model's call does, such as assigning a moving average, is left out: a variable
    that it assigns and then reads counts as it was before the call.

    Examples of a batch must not influence each other; where they do, a warning says so. One
    example alone is right then, too. A model that takes so many examples at a time (a stateful
    recurrent layer) is given batches of its own size, by the engines that repeat examples. What
    TensorFlow's own second derivatives get wrong (`LayerNormalization`, bilinear resizing) or
    lack (`softsign`) is mended.

    Args:
        model: a built Keras model or layer, run in inference mode (`training=False`), or any
            function of a tensor.
        x: the batch, shape `(batch, *input_shape)`, or the list, tuple or dict of batches that
            the model takes. Arrays or tensors; or a data frame, where a model of several inputs
            takes the columns of their names. Of it and of a dict, what the model has no input for
            is left out.
        names: any of the names in the table. Or a dict from names of your own to these and to
            partial derivatives, each a tuple of the inputs that it is by, 1 to 4 of them in any
            order: `{"u": "value", "u_t": (0,), "u_xx": (1, 1)}`. An input is an index, where the
            model has one input of shape `(batch, columns)`; the name of an input of width 1, or
            of a column of a data frame; or `("name", index)`. They are found along as few
            directions as there are, see `partial_derivative`.
        v: the direction for `"directional_curvature"` and `"hessian_vector_product"`, in the
            shape of `x` (one for each example) or of one example. Or several at once,
            `(batch, k, *input_shape)`, for results with an axis k behind the batch's.
        directions: whether `v` is several directions for all examples, `(k, *input_shape)`, also
            where that is the shape of `x`.
        output: which output to differentiate. `None`: all of it. An int: an index on the last
            axis, which stays, with length 1; or, if the model has several outputs, the index
            of one. The name of an output. A function of the model's output. Of a classifier
            `"predicted"`, the largest entry on the last axis, or `"margin"`, how far it is above
            the second largest; of the logits, where the model outputs them.
        wrt: with respect to what. `None`: all inputs. The name of an input, or its index, unless
            they are a dict in another order than the alphabet's, into which Keras sorts it. A list
            of these: a dict by the inputs' names in place of the structure of `x`. The name of a
            layer: that layer's output, the only meaningful choice for token ids.
        columns: by which columns of an input of shape `(batch, columns)`: indexes, or names where
            `x` is a data frame. The others are held. Shapes are as if the input had only these, and
            so is the price. Of several inputs `wrt` says which one.
        engine: `"taylor"`, second-order Taylor propagation; `"nested"`, reverse over reverse;
            `"finite_difference"`, central differences of exact gradients in float64; or
            `"auto"`, the exact one that takes less: `engine_choice` says which, and why.
        dtype: the narrowest dtype to evaluate in. `None`: float32 or better, also for a float16
            or bfloat16 model. `"float64"` evaluates any model in float64, with the weights
            that it has.
        batch_size: examples at a time. `None`: as many as keep the intermediate results within
            512 MiB by a generous estimate, whatever the number of examples. The result comes on
            top, up to three times its size while its parts are joined. In a function that XLA
            compiles for batches of any size: all of them.

    Returns:
        A dict from each name to its result.

    Example:
        >>> import keras_curvature as kc
        >>> result = kc.derivatives(lambda x: x**3, [[2.0]], ["value", "laplacian"])
        >>> {name: float(tensor[0, 0]) for name, tensor in result.items()}
        {'value': 8.0, 'laplacian': 12.0}
        >>> terms = kc.derivatives(
        ...     lambda x: x[:, :1] * x[:, 1:] ** 3, [[5.0, 2.0]], {"u_t": (0,), "u_txx": (0, 1, 1)}
        ... )
        >>> {name: float(tensor[0, 0]) for name, tensor in terms.items()}
        {'u_t': 8.0, 'u_txx': 12.0}

    Raises:
        ValueError: for a batch that does not fit the model, an unbuilt model, an unknown
            output, input or layer, an output that has not a row for each example, or a model whose
            output depends on its input only through ops without a derivative; the message names
            the op and the layer.
        TypeError: for an argument of a wrong type, and for an integer input without `wrt`.
    """
    options = Options(output, wrt, engine, dtype, batch_size, columns)
    return differentiate(model, x, requested(names), v, options, directions)


@not_converted
def _single(name: str, model: Model, x: Structure, *options: Any) -> Any:
    return differentiate(model, x, {name: name}, None, Options(*options))[name]


def jacobian(
    model: Model,
    x: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the first derivatives of every output by every input.

    Args:
        model: see `derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
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
    return _single("jacobian", model, x, output, wrt, engine, dtype, batch_size, columns)


def hessian(
    model: Model,
    x: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes all second derivatives of every output.

    Args:
        model: see `derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape, *input_shape, *input_shape)`, `d2y / dx_i dx_j`.

    Example:
        >>> import numpy as np, keras_curvature as kc
        >>> np.asarray(kc.hessian(lambda x: x[:, :1] * x[:, 1:], [[3.0, 4.0]]))[0, 0].tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    return _single("hessian", model, x, output, wrt, engine, dtype, batch_size, columns)


def hessian_diagonal(
    model: Model,
    x: Structure,
    *,
    output: Output = None,
    wrt: Wrt = None,
    columns: Columns = None,
    engine: str = "auto",
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Any:
    """Computes the second derivative along each input.

    Args:
        model: see `derivatives`, as for the other arguments.
        x: the batch, `(batch, *input_shape)`.
        output: which output to differentiate.
        wrt: with respect to what.
        columns: by which of its columns.
        engine: how.
        dtype: the narrowest dtype to evaluate in.
        batch_size: examples at a time.

    Returns:
        `(batch, *output_shape, *input_shape)`, `d2y / dx_i2`.

    Example:
        >>> import numpy as np, keras_curvature as kc
        >>> np.asarray(kc.hessian_diagonal(lambda x: x**3, [[3.0, 4.0]]))[0, 1].tolist()
        [0.0, 24.0]
    """
    return _single("hessian_diagonal", model, x, output, wrt, engine, dtype, batch_size, columns)
