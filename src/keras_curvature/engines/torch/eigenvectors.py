"""Eigenvectors with a derivative that is finite where eigenvalues are equal."""

from __future__ import annotations

from typing import Any

import torch

from keras_curvature.engines.torch.conversion import tensor
from keras_curvature.engines.torch.no_nan import divide_no_nan
from keras_curvature.typing import Tensor


def eigh(matrices: Any) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of symmetric matrices.

    The derivative leaves the vectors of equal eigenvalues as they are; PyTorch's own is NaN there.
    """
    values, vectors = _Eigh.apply(tensor(matrices))
    return values, vectors


class _Eigh(torch.autograd.Function):
    """With `setup_context`, without which `torch.func` does not take it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrices)
        return values, vectors

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*output)
        ctx.save_for_forward(*output)

    @staticmethod
    def backward(ctx: Any, of_values: Tensor, of_vectors: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        turned = divide_no_nan(vectors.mT @ of_vectors, _apart(values))
        return vectors @ (torch.diag_embed(of_values) + turned) @ vectors.mT

    @staticmethod
    def jvp(ctx: Any, matrices: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = ctx.saved_tensors
        change = vectors.mT @ matrices @ vectors
        return torch.diagonal(change, dim1=-2, dim2=-1), vectors @ divide_no_nan(
            change, _apart(values)
        )


def _apart(values: Tensor) -> Tensor:
    """How far eigenvalues are from each other."""
    return values[..., None, :] - values[..., :, None]
