"""How what is computed of examples is run: as part of the graph at hand, or compiled for itself."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from keras_curvature.engines.tensorflow import graph_chunks, parallel_halves, shared_functions
from keras_curvature.engines.tensorflow.compilation import compiled, is_eager, standing_alone
from keras_curvature.engines.tensorflow.flat_function import FlatFunction
from keras_curvature.engines.tensorflow.private import inside_xla, watched_by_tapes
from keras_curvature.engines.tensorflow.taylor.batch_independence import examples_apart

Compute = Callable[..., dict[str, tf.Tensor]]


@dataclass(frozen=True)
class Way:
    """How a function is compiled.

    Attributes:
        halved: in two halves side by side.
        for_all: for all models of one graph, to which it cannot be differentiated.
    """

    halved: bool
    for_all: bool


def way(f: FlatFunction, *, mirrored: bool, halved: bool) -> Way:
    """How a function of a model is compiled here."""
    for_all = not mirrored and not watched_by_tapes() and f.traced.identity is not None
    return Way(halved, for_all)


def specs_like(
    tensors: Sequence[tf.Tensor], constants: Sequence[tf.Tensor]
) -> tuple[tf.TensorSpec, ...]:
    """Of tensors with any number of examples, and of constants behind them."""
    return (
        *(tf.TensorSpec([None, *t.shape[1:]], t.dtype) for t in tensors),
        *(tf.TensorSpec(t.shape, t.dtype) for t in constants),
    )


def function(
    f: FlatFunction,
    key: Hashable,
    compute: Compute,
    specs: Sequence[tf.TensorSpec],
    count: int,
    how: Way,
) -> Compute:
    """`compute` compiled.

    On first use, here and not by calling a `tf.function`, which warns of retracing when the same
    code is compiled for many models.

    Args:
        f: the model.
        key: equal for two functions of models of one `identity` that compute the same.
        compute: of tensors and of constants behind them.
        specs: of both.
        count: how many are tensors.
        how: it is compiled.
    """

    def whole(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        constants = given[count:]

        def of_examples(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            return compute(*tensors, *constants)

        run = parallel_halves.side_by_side(of_examples) if how.halved else of_examples
        return run(*given[:count])

    with standing_alone():
        if how.for_all:
            return shared_functions.shared(f.traced, key, whole, specs)
        found: Compute = compiled(whole, specs)
        return found


def op_by_op(f: FlatFunction, compute: Compute, *, mirrored: bool) -> Compute | None:
    """`compute` for a single call, where that takes less than compiling it.

    Not where its graph takes turns, which would be taken one by one.
    """
    if mirrored or f.batch is not None or f.activity.resists_vectorising:
        return None
    run: Compute = standing_alone()(compute)
    return run


def keeps_examples_apart(f: FlatFunction) -> bool:
    """Whether the graph tells that an output depends on its own example, and on no chance."""
    return f.traced.identity is not None and examples_apart(f.traced)


def in_graph(
    compute: Compute,
    tensors: Sequence[tf.Tensor],
    size: int,
    signature: dict[str, tf.TensorSpec],
    halved_from: float,
) -> dict[str, tf.Tensor]:
    """`compute` as part of the graph at hand: in chunks of `size`, or for XLA in halves."""
    count = tensors[0].shape[0]
    if inside_xla() and count is not None and halved_from <= count <= size:
        compute = parallel_halves.side_by_side(compute)
    return graph_chunks.in_graph(compute, tensors, size, signature)


def in_parts(f: FlatFunction, compute: Compute, rows: int, count: int | None = None) -> Compute:
    """`compute`: TensorFlow frees results on the way, and is slower with fewer examples."""
    return compute


def as_called(f: FlatFunction) -> Callable[..., list[tf.Tensor]]:
    """From a point and the other inputs to the outputs one by one, a few times."""
    return f.apart


def has_numbers(f: FlatFunction, tensors: Sequence[tf.Tensor]) -> bool:
    """Whether the model and its inputs have numbers, and are no part of a graph."""
    return is_eager()
