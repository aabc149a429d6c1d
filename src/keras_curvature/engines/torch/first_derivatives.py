"""First derivatives by PyTorch, of the model as it is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from keras_curvature.engines.torch.flat_function import FlatFunction


def value_and_jacobian(f: FlatFunction, z: Any, rest: Sequence[Any]) -> tuple[Any, Any]:
    """Value `(n, m)` and Jacobian `(n, m, d)`: one pass backwards for each output."""
    y, pull = torch.func.vjp(lambda z: f(z, rest), z)
    seeds = torch.eye(f.outputs.width, dtype=y.dtype, device=y.device)
    rows = [pull(seed.expand(y.shape))[0] for seed in seeds]
    return y, torch.stack(rows, dim=1)


def goes_backwards(f: FlatFunction) -> bool:
    """Whether reverse mode goes through the model: always."""
    return True


def per_output(f: FlatFunction, z: Any, rest: Sequence[Any]) -> tuple[Any, list[Any], Any]:
    """Repeats every example once per output, each with the one-hot seed of that output."""
    m = f.outputs.width
    seeds = torch.eye(m, dtype=z.dtype, device=z.device).repeat(z.shape[0], 1)
    if m == 1:
        return z, list(rest), seeds
    return (
        z.repeat_interleave(m, dim=0),
        [r.repeat_interleave(m, dim=0) for r in rest],
        seeds,
    )


def row_gradients(f: FlatFunction, z: Any, rest: Sequence[Any], seeds: Any) -> Any:
    """The gradient of `seed . f` at each row, in the shape of `z`."""
    _, pull = torch.func.vjp(lambda z: f(z, rest), z)
    return pull(seeds)[0]


def gradients_of_each(outputs: Callable[[Any], Any], point: Any) -> Any:
    """The gradients `(m, ...)` of each of `outputs(point)`, `(n, m)`, by all that is in `point`."""
    keys = list(point)
    value, pull = torch.func.vjp(
        lambda *given: outputs(dict(zip(keys, given, strict=True))), *point.values()
    )
    seeds = torch.eye(value.shape[1], dtype=value.dtype, device=value.device)
    found = [pull(seed.expand(value.shape)) for seed in seeds]
    return {key: torch.stack(list(parts)) for key, *parts in zip(keys, *found, strict=True)}


def gradients_and_more(function: Callable[[Any], tuple[Any, Any]], point: Any) -> tuple[Any, Any]:
    """The gradients of the first thing that a function gives, a number, and the second one."""

    def number(given: Any) -> Any:
        y, more = function(given)
        return y, () if more is None else more

    return cast("tuple[Any, Any]", torch.func.grad(number, has_aux=True)(point))


def gradient(function: Callable[[Any], Any], rows: Any) -> Any:
    """The gradient of a number for each row by that row."""
    y, pull = torch.func.vjp(function, rows)
    return pull(torch.ones_like(y))[0]


def tiled(tensor: Any, times: int) -> Any:
    """The whole batch, `times` times over."""
    return tensor.repeat(times, *[1] * (tensor.ndim - 1)) if times > 1 else tensor
