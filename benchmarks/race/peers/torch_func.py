"""torch.func, eager and through torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.func import grad, hessian, jvp, vmap

from benchmarks.race import work as works
from benchmarks.race.peers.torch_networks import Weights, descend, tensor_of, value_of, weights_of
from benchmarks.race.work import Work

Function = Callable[[torch.Tensor], torch.Tensor]


def prepare(work: Work, recipe: str, mode: str) -> Callable[[], object]:
    """See `benchmarks.race.peers`; the recipe is always forward over reverse."""
    network, weights = value_of(work.network), weights_of(work.network)
    f = partial(network, weights)
    x = tensor_of(work, work.x())
    compiled = torch.compile if mode == "compiled" else lambda function: function
    compiled(f)(x[:2])
    if work.quantity == works.STEP:
        others = [torch.tensor(part) for part in work.source_and_target()]
        function = compiled(partial(_training_step, network))
        return lambda: descend(weights, function(weights, x, *others))
    if work.quantity == works.TRACE:
        v = tensor_of(work, work.directions())
        function = compiled(partial(_estimate, f))
        return lambda: function(x, v)
    function = compiled(partial(RECIPES[work.quantity], f))
    return lambda: function(x)


def _laplacian(f: Function, x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("nii->n", vmap(hessian(f))(x))


def _diagonal(f: Function, x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("nii->ni", vmap(hessian(f))(x))


def _hessian(f: Function, x: torch.Tensor) -> torch.Tensor:
    return vmap(hessian(f))(x)


RECIPES = {works.LAPLACIAN: _laplacian, works.DIAGONAL: _diagonal, works.HESSIAN: _hessian}


def _estimate(f: Function, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """By products with the Hessian, forward over reverse as in `torch.func.hessian`."""
    gradient = grad(lambda x: f(x).sum())

    def along(v: torch.Tensor) -> torch.Tensor:
        return (jvp(gradient, (x,), (v,))[1] * v).flatten(1).sum(dim=1)

    return vmap(along)(v).mean(dim=0)


def _training_step(
    network: Callable[[Weights, torch.Tensor], torch.Tensor],
    weights: Weights,
    x: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
) -> list[torch.Tensor]:
    def loss(weights: Weights) -> torch.Tensor:
        f = partial(network, weights)
        return ((_laplacian(f, x) - source) ** 2).mean() + ((f(x) - target) ** 2).mean()

    return grad(loss)(weights)
