"""How what is computed of examples is run: as it is, one operation after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from keras_curvature.engines.chunking import WHOLE, dividing
from keras_curvature.engines.torch.arrays import constant
from keras_curvature.engines.torch.compilation import is_eager
from keras_curvature.engines.torch.flat_function import FlatFunction
from keras_curvature.engines.torch.tracing import numbers_kept

Compute = Callable[..., dict[str, Any]]


def way(f: FlatFunction, *, mirrored: bool, halved: bool) -> None:
    """There is one way."""


def specs_like(tensors: Sequence[Any], constants: Sequence[Any]) -> tuple[Hashable, ...]:
    """Nothing is compiled for them."""
    return ()


def function(
    f: FlatFunction,
    key: Hashable,
    compute: Compute,
    specs: Sequence[Any],
    count: int,
    how: None,
) -> Compute:
    """`compute`, on tensors, with a graph for the gradient by the weights where one is wanted."""

    def run(*given: Any) -> dict[str, Any]:
        with numbers_kept() if f.draws else contextlib.nullcontext():
            return compute(*map(constant, given))

    return run


def with_weights_of(f: FlatFunction, compute: Callable[..., Any]) -> Callable[..., Any]:
    """`compute`, which runs the model with the weights that it has then."""
    return compute


def op_by_op(f: FlatFunction, compute: Compute, *, mirrored: bool) -> None:
    """All is run so."""


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
    """`compute` inside of a transformation of PyTorch's, in chunks of equal size."""
    given = [constant(x) for x in tensors]
    n = given[0].shape[0]
    if size == WHOLE or not isinstance(n, int) or n <= size:
        return compute(*given)
    size = dividing(n, size)
    parts = [compute(*(x[at : at + size] for x in given)) for at in range(0, n, size)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def in_parts(f: FlatFunction, compute: Compute, rows: int, count: int | None = None) -> Compute:
    """`compute`: PyTorch frees results on the way."""
    return compute


def as_called(f: FlatFunction) -> Callable[..., list[Any]]:
    """From a point and the other inputs to the outputs one by one."""

    def call(z: Any, rest: Sequence[Any]) -> list[Any]:
        with torch.no_grad(), numbers_kept() if f.draws else contextlib.nullcontext():
            return f.apart(z, rest)

    return call


def has_numbers(f: FlatFunction, tensors: Sequence[Any]) -> bool:
    """Whether the model and its inputs have numbers, and PyTorch traces nothing around them."""
    return is_eager((tensors, f.weights()))
