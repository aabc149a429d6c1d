"""PyTorch's own ways to a second derivative, each as anyone would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from keras_curvature.engines.ways import Function, Way, of_hessians
from keras_curvature.typing import Array

Along = Callable[[Function, torch.Tensor, torch.Tensor], torch.Tensor]
"""The second derivatives of each output along a direction, `(batch, outputs)`."""


def tensor(array: Array) -> torch.Tensor:
    """An array in its own dtype."""
    return torch.as_tensor(array)


def array(result: Any) -> Array:
    """What a function gives, as NumPy has it."""
    return np.asarray(result.detach().cpu() if isinstance(result, torch.Tensor) else result)


def parts(function: Any) -> list[tuple[str, Any]]:
    """Pieces from the beginning on of an `nn.Sequential`, each with the name of its last."""
    if not isinstance(function, torch.nn.Sequential):
        return []
    names = [f"{name} ({type(part).__name__})" for name, part in function.named_children()]
    return [(name, function[: i + 1]) for i, name in enumerate(names)]


def _flat(f: Function, x: torch.Tensor) -> torch.Tensor:
    """The outputs, `(batch, outputs)`."""
    y = f(x)
    return y.reshape(len(y), -1)


def _dot(gradient: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return (gradient * v).reshape(len(v), -1).sum(1)


def _totals(f: Function, x: torch.Tensor) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """Each output summed over the batch."""
    with torch.no_grad():
        width = _flat(f, x).shape[1]
    return [lambda x, j=j: _flat(f, x)[:, j].sum() for j in range(width)]


def double_backward(f: Function, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """`torch.autograd.grad` of `torch.autograd.grad`."""
    found = []
    for y in _totals(f, x):
        point = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(y(point), point, create_graph=True, **UNUSED)
        second = torch.zeros_like(x)
        if gradient.requires_grad:
            (second,) = torch.autograd.grad(_dot(gradient, v).sum(), point, **UNUSED)
        found.append(_dot(second, v))
    return torch.stack(found, 1)


UNUSED = {"allow_unused": True, "materialize_grads": True}
"""Zeros for what does not depend on the input."""


def forward_over_reverse(f: Function, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """`torch.func.jvp` of `torch.func.grad`."""
    found = [_dot(torch.func.jvp(torch.func.grad(y), (x,), (v,))[1], v) for y in _totals(f, x)]
    return torch.stack(found, 1)


def reverse_over_reverse(f: Function, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """`torch.func.grad` of `torch.func.grad`."""

    def slope(y: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: _dot(torch.func.grad(y)(x), v).sum()

    return torch.stack([_dot(torch.func.grad(slope(y))(x), v) for y in _totals(f, x)], 1)


def reverse_over_forward(f: Function, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """`torch.func.grad` of `torch.func.jvp`."""

    def slope(y: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: torch.func.jvp(y, (x,), (v,))[1]

    return torch.stack([_dot(torch.func.grad(slope(y))(x), v) for y in _totals(f, x)], 1)


def forward_over_forward(f: Function, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """`torch.func.jvp` of `torch.func.jvp`."""

    def slope(x: torch.Tensor) -> torch.Tensor:
        return torch.func.jvp(lambda x: _flat(f, x), (x,), (v,))[1]

    return torch.func.jvp(slope, (x,), (v,))[1]


def _way(name: str, along: Along, also: tuple[str, ...] = ()) -> Way:
    def run(f: Function, x: Array, v: Array) -> Array:
        given = torch.as_tensor(x)
        with torch.no_grad():
            shape = f(given).shape
        with torch.enable_grad():
            found = along(f, given, torch.as_tensor(v, dtype=given.dtype))
        return np.asarray(found.detach().cpu()).reshape(shape)

    return Way(name, run, None, also)


def func_hessian(f: Function, x: Array) -> Array:
    """`torch.func.hessian`, one example after the other."""
    hessian = torch.func.hessian(lambda one: f(one[None])[0])
    return np.stack([np.asarray(hessian(one).detach().cpu()) for one in torch.as_tensor(x)])


def vmapped_hessian(f: Function, x: Array) -> Array:
    """`torch.func.vmap` of `torch.func.hessian`."""
    hessian = torch.func.vmap(torch.func.hessian(lambda one: f(one[None])[0]))
    return np.asarray(hessian(torch.as_tensor(x)).detach().cpu())


def functional_hessian(f: Function, x: Array) -> Array:
    """`torch.autograd.functional.hessian` of every output, one example after the other."""
    given = torch.as_tensor(x)
    with torch.no_grad():
        shape = f(given).shape
        width = _flat(f, given).shape[1]

    def of(one: torch.Tensor, j: int) -> Array:
        found = torch.autograd.functional.hessian(lambda one: _flat(f, one[None])[0, j], one)
        return np.asarray(found.detach().cpu())

    found = np.stack([of(one, j) for one in given for j in range(width)])
    return found.reshape(*shape, *x.shape[1:], *x.shape[1:])


WAYS = (
    of_hessians("torch.func.hessian", func_hessian, ("torch jacfwd of jacrev",)),
    of_hessians("torch.func.vmap of torch.func.hessian", vmapped_hessian),
    of_hessians("torch.autograd.functional.hessian", functional_hessian),
    _way("torch double backward", double_backward, ("torch.autograd.grad twice",)),
    _way("torch forward over reverse", forward_over_reverse, ("torch jvp of grad",)),
    _way("torch reverse over reverse", reverse_over_reverse, ("torch grad of grad",)),
    _way("torch reverse over forward", reverse_over_forward, ("torch grad of jvp",)),
    _way("torch forward over forward", forward_over_forward, ("torch jvp of jvp",)),
)
