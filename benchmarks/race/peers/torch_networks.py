"""The networks in PyTorch, for a batch and for one example alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from benchmarks.race.networks import Array, ConvNet, Mlp, Network, Transformer, pairs
from benchmarks.race.work import RATE, Work

Weights = list[torch.Tensor]


def value_of(network: Network) -> Callable[[Weights, torch.Tensor], torch.Tensor]:
    """Weights and `x` to `(n,)`, or to a number without the batch."""
    match network:
        case Mlp():
            return _mlp
        case ConvNet():
            return _conv_net
        case Transformer():
            return partial(_transformer, network)


def weights_of(network: Network) -> Weights:
    """In PyTorch's layouts: channels first in convolutions and behind them."""
    weights = [torch.tensor(weight) for weight in network.weights()]
    if isinstance(network, ConvNet):
        weights = [w.permute(3, 2, 0, 1).contiguous() if w.ndim == 4 else w for w in weights]
        side, channels = network.side >> len(network.stages), network.stages[-1]
        last = weights[-2].reshape(side, side, channels).permute(2, 0, 1)
        weights[-2] = last.reshape(-1, 1).contiguous()
    return weights


def descend(weights: Weights, gradients: Weights) -> Weights:
    """Moves the weights and hands the gradients on."""
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= RATE * gradient
    return gradients


def tensor_of(work: Work, array: Array) -> torch.Tensor:
    """Points or directions, channels first if they are images."""
    tensor = torch.tensor(array)
    if isinstance(work.network, ConvNet):
        tensor = tensor.movedim(-1, -3).contiguous()
    return tensor


def _mlp(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    *hidden, (kernel, bias) = pairs(weights)
    for a, b in hidden:
        x = torch.tanh(x @ a + b)
    return (x @ kernel + bias).squeeze(-1)


def _conv_net(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    *convolutions, (last, shift) = pairs(weights)
    for i, (kernel, bias) in enumerate(convolutions):
        x = torch.tanh(functional.conv2d(x, kernel, bias, padding=1))
        if i % 2:
            x = functional.avg_pool2d(x, 2)
    return (x.flatten(-3) @ last + shift).squeeze(-1)


def _transformer(net: Transformer, weights: Weights, x: torch.Tensor) -> torch.Tensor:
    given = pairs(weights)

    def dense(x: torch.Tensor) -> torch.Tensor:
        kernel, bias = next(given)
        return x @ kernel + bias

    def normalised(x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (net.width,), *next(given), eps=net.EPSILON)

    def heads(x: torch.Tensor) -> torch.Tensor:
        kernel, bias = next(given)
        return torch.einsum("...tw,whe->...hte", x, kernel) + bias[:, None]

    def attended(x: torch.Tensor) -> torch.Tensor:
        query, key, value = heads(x), heads(x), heads(x)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        kernel, bias = next(given)
        mixed = torch.softmax(scores, dim=-1) @ value
        return torch.einsum("...hte,hew->...tw", mixed, kernel) + bias

    x = dense(x)
    for _ in range(net.blocks):
        x = x + attended(normalised(x))
        x = x + dense(functional.gelu(dense(normalised(x))))
    return dense(normalised(x).mean(dim=-2)).squeeze(-1)
