"""How what is computed of examples is run: as part of what JAX traces, or compiled for itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from keras_curvature.engines.chunking import WHOLE, dividing
from keras_curvature.engines.jax.arrays import is_symbol, itemsize
from keras_curvature.engines.jax.compilation import computing_in, is_eager
from keras_curvature.engines.jax.flat_function import FlatFunction

Compute = Callable[..., dict[str, Any]]


def way(f: FlatFunction, *, mirrored: bool, halved: bool) -> None:
    """There is one way."""


def specs_like(tensors: Sequence[Any], constants: Sequence[Any]) -> tuple[Hashable, ...]:
    """Of arrays with any number of examples, and of constants behind them."""
    return (
        *((tuple(x.shape[1:]), str(x.dtype)) for x in tensors),
        *((tuple(x.shape), str(x.dtype)) for x in constants),
    )


def function(
    f: FlatFunction,
    key: Hashable,
    compute: Compute,
    specs: Sequence[Any],
    count: int,
    how: None,
) -> Compute:
    """`compute` compiled, with the weights that the model has when it is called."""

    @jax.jit
    def whole(weights: Sequence[Any], given: Sequence[Any]) -> dict[str, Any]:
        with f.with_weights(weights):
            return compute(*given)

    def run(*given: Any) -> dict[str, Any]:
        with computing_in(f.dtype):
            return whole(f.weights(), given)

    return run


def with_weights_of(f: FlatFunction, compute: Callable[..., Any]) -> Callable[..., Any]:
    """`compute`, which runs the model, compiled for any weights and called with those of then."""

    @jax.jit
    def whole(weights: Sequence[Any], *given: Any) -> Any:
        with f.with_weights(weights):
            return compute(*given)

    return lambda *given: whole(f.weights(), *given)


def op_by_op(f: FlatFunction, compute: Compute, *, mirrored: bool) -> None:
    """For a single call: compiled too, as JAX is slow op by op."""


def keeps_examples_apart(f: FlatFunction) -> bool:
    """Whether that is known without trying: never."""
    return False


def in_graph(
    compute: Compute,
    tensors: Sequence[Any],
    size: int,
    signature: dict[str, Any],
    halved_from: float,
) -> dict[str, Any]:
    """`compute` as part of what JAX traces, as a loop over chunks of equal size.

    For a number of examples that is a symbol, as where Keras exports a model or asks a layer for
    the shape of its output, it is that of one example, for each.
    """
    n = tensors[0].shape[0]
    if is_symbol(n):
        one = jax.vmap(lambda *rows: compute(*(row[None] for row in rows)))
        return {name: jnp.squeeze(part, 1) for name, part in one(*tensors).items()}
    if size == WHOLE or n <= size:
        return compute(*tensors)
    size = dividing(n, size)
    chunks = -(-n // size)

    def stacked(x: Any) -> Any:
        missing = chunks * size - n
        whole = jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)]) if missing else x
        return jnp.reshape(whole, (chunks, size, *x.shape[1:]))

    found = lax.map(lambda given: compute(*given), [stacked(x) for x in tensors])
    return {
        name: jnp.reshape(part, (chunks * size, *part.shape[2:]))[:n]
        for name, part in found.items()
    }


def in_parts(f: FlatFunction, compute: Compute, rows: int, count: int | None = None) -> Compute:
    """`compute` on some examples after others, as a CPU is faster with what its caches hold.

    The trace of a conv net takes a quarter less, a Hessian of 64 inputs a half, and a Laplacian a
    tenth of the memory. Not where JAX traces around it: in training a loop costs more than that.

    Args:
        f: the model.
        compute: of tensors that have the examples as their first axis.
        rows: how many copies of an example go through the model at once.
        count: how many have, before those that all examples share; `None`: all of them.
    """
    if jax.default_backend() != "cpu" or f.batch is not None or not is_eager():
        return compute
    numbers = CACHES // itemsize(f.dtype)
    size = max(1, max(FEW, numbers // max(1, f.activity.widest)) // rows)

    def parts(*tensors: Any) -> dict[str, Any]:
        shared = () if count is None else tensors[count:]
        return in_graph(lambda *some: compute(*some, *shared), tensors[:count], size, {}, math.inf)

    return parts


CACHES = 2**20
"""Bytes of one intermediate result: four times as much was no faster, and took as much memory."""

FEW = 32
"""Rows that keep all cores busy."""


def as_called(f: FlatFunction) -> Callable[..., list[Any]]:
    """From a point and the other inputs to the outputs one by one, a few times.

    Compiled: one operation after the other JAX would compile each.
    """
    return lambda z, rest: f.compiled(f.weights(), z, rest)


def has_numbers(f: FlatFunction, tensors: Sequence[Any]) -> bool:
    """Whether the model and its inputs have numbers, and JAX traces nothing around them."""
    return is_eager((tensors, f.weights(), f.constants))
