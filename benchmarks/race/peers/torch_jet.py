"""jet-for-pytorch, Taylor mode with collapsed second order, eager and through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jet import jet

from benchmarks.race import work as works
from benchmarks.race.peers.torch_networks import Weights, descend, tensor_of, value_of, weights_of
from benchmarks.race.work import Work

Function = Callable[[torch.Tensor], torch.Tensor]


def prepare(work: Work, recipe: str, mode: str) -> Callable[[], object]:
    """See `benchmarks.race.peers`."""
    network, weights = value_of(work.network), weights_of(work.network)
    x = tensor_of(work, work.x())
    compiled = torch.compile if mode == "compiled" else lambda function: function
    compiled(lambda x: network(weights, x))(x[:2])
    if work.quantity == works.STEP:
        others = [torch.tensor(part) for part in work.source_and_target()]
        function = compiled(_training_step(lambda x: network(weights, x), weights, x))
        return lambda: descend(weights, function(*others))
    along = tensor_of(work, work.directions()) if work.quantity == works.TRACE else _axes(x)
    function = compiled(RECIPES[work.quantity](lambda x: network(weights, x), x))
    return lambda: function(x, along)


def _axes(x: torch.Tensor) -> torch.Tensor:
    """Unit vectors for every example, `(d, n, d)`."""
    n, d = x.shape
    return torch.eye(d)[:, None].expand(d, n, d).contiguous()


def _sum(f: Function, x: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    collapsed = jet(f, (x,), collapsed=True)
    return lambda x, v: collapsed((x, v, torch.zeros_like(x)))[2]


def _mean(f: Function, x: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    total = _sum(f, x)
    return lambda x, v: total(x, v) / len(v)


def _each(f: Function, x: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    single = jet(f, (x,))

    def second(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.func.vmap(lambda v: single((x, v, torch.zeros_like(x)))[2])(v).T

    return second


RECIPES = {works.LAPLACIAN: _sum, works.DIAGONAL: _each, works.TRACE: _mean}


def _training_step(
    f: Function, weights: Weights, x: torch.Tensor
) -> Callable[[torch.Tensor, torch.Tensor], list[torch.Tensor]]:
    for weight in weights:
        weight.requires_grad_()
    collapsed, v, zero = jet(f, (x,), collapsed=True), _axes(x), torch.zeros_like(x)

    def step(source: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
        value, _, laplacian = collapsed((x, v, zero))
        loss = ((laplacian - source) ** 2).mean() + ((value - target) ** 2).mean()
        return list(torch.autograd.grad(loss, weights))

    return step
