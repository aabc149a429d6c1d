"""PyTorch's own second derivative: double backward, as anyone would write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from keras_curvature.engines.torch.arrays import name_of, widened
from keras_curvature.engines.torch.flat_function import FlatFunction

NAME, ASKED = "PyTorch", "torch.autograd.grad of torch.autograd.grad"
"""Whose it is, and what is asked for it."""

OF_NOTHING = "torch.autograd.grad raises, or gives None with allow_unused"
"""What the answer is where nothing depends on the input."""

NOT_TO_TAKE = "torch.autograd.grad twice or torch.func.hessian"
"""What else has this derivative."""

NO_GRADIENT = r"derivative for '?(?:aten::)?(\w+)'? is not implemented"
"""In what is raised where an operation has none: its name."""

WORDS: dict[str, str] = {}
REASONS: dict[str, str] = {}
"""Nothing is known of double backward to be wrong whatever the numbers are."""


def backend_second_derivative(
    f: FlatFunction, z: Any, rest: Sequence[Any], v: Any, weights: Any
) -> Any:
    """`v' H v` of a weighted sum of the outputs, `(n,)`, of the program as it is.

    Args:
        f: the model, not mended.
        z: points.
        rest: the other inputs.
        v: directions in float64, `(n, d)`.
        weights: of the outputs.
    """
    dtype = widened(z.dtype, torch.float32)
    along, weights = v.to(z.dtype), weights.to(dtype)
    with torch.enable_grad():
        point = z.detach().clone().requires_grad_()
        total = torch.sum(f(point, rest).to(dtype) * weights)
        (gradient,) = torch.autograd.grad(total, point, create_graph=True)
        if not gradient.requires_grad:
            return torch.zeros(len(z), dtype=v.dtype, device=v.device)
        (second,) = torch.autograd.grad(
            torch.sum(gradient * along), point, allow_unused=True, materialize_grads=True
        )
    return torch.sum(second.detach().to(v.dtype) * v, dim=1)


def half_of(f: FlatFunction) -> str:
    """The 16-bit dtype that the model computes in, or `""`."""
    names = {name_of(aval.dtype) for aval in f.traced_for(f.examples).program.avals.values()}
    return next((name for name in ("float16", "bfloat16") if name in names), "")
