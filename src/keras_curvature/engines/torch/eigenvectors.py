"""Eigenvectors and singular vectors, NaN where a matrix is not finite: PyTorch refuses it."""

from __future__ import annotations

from typing import Any

import torch

from keras_curvature.engines.torch.conversion import tensor
from keras_curvature.engines.torch.no_nan import divide_no_nan
from keras_curvature.typing import Tensor

NAN = float("nan")


def eigh(matrices: Any) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of symmetric matrices.

    The derivative leaves the vectors of equal eigenvalues as they are; PyTorch's own is NaN there.
    """
    finite, held = _finite(tensor(matrices))
    values, vectors = _Eigh.apply(held)
    return torch.where(finite[..., 0], values, NAN), torch.where(finite, vectors, NAN)


def svd(matrices: Any) -> tuple[Tensor, Tensor]:
    """Left singular vectors, and singular values."""
    finite, held = _finite(tensor(matrices))
    left, values, _ = torch.linalg.svd(held, full_matrices=False)
    return torch.where(finite, left, NAN), torch.where(finite[..., 0], values, NAN)


def _finite(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Which matrices are finite, and these, with 0 in the place of the others."""
    finite = torch.isfinite(matrices).all(-1).all(-1)[..., None, None]
    return finite, torch.where(finite, matrices, 0)


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
