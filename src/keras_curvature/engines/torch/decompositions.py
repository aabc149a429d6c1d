"""Fused kernels, and what they stand for in operations that have rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._decomp import get_decompositions

from keras_curvature.engines.torch.refusals import NotTracedError
from keras_curvature.engines.torch.softmax_functions import logsumexp

aten = torch.ops.aten

FUSED = (
    aten._batch_norm_no_update,
    aten._fused_rms_norm,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten.affine_grid_generator,
    aten.aminmax,
    aten.binary_cross_entropy,
    aten.binary_cross_entropy_with_logits,
    aten.glu,
    aten.hardsigmoid,
    aten.hardswish,
    aten.mse_loss,
    aten.mv,
    aten.native_batch_norm,
    aten.nll_loss_forward,
    aten.reflection_pad1d,
    aten.reflection_pad2d,
    aten.reflection_pad3d,
    aten.replication_pad1d,
    aten.replication_pad2d,
    aten.replication_pad3d,
    aten.smooth_l1_loss,
    aten.soft_margin_loss,
    aten.split_with_sizes_copy,
)
"""Those that PyTorch itself takes apart into other ATen operations."""

Dims = Sequence[int] | None


def _plus_product(multiply: Any) -> Callable[..., Any]:
    """`beta * c + alpha * multiply(a, b)`, without factors of 1."""

    def function(c: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        product = multiply(a, b)
        product = product if alpha == 1 else alpha * product
        return product if beta == 0 else product + (c if beta == 1 else beta * c)

    return function


def _square_of_size(x: torch.Tensor) -> torch.Tensor:
    return x.real * x.real + x.imag * x.imag if x.is_complex() else x * x


def _moments(
    x: torch.Tensor, dim: Dims = None, correction: Any = 1, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Variance and mean."""
    dims = list(range(x.ndim)) if not dim else list(dim)
    count = math.prod(x.shape[d] for d in dims)
    mean = torch.mean(x, dims, keepdim=True)
    deviation = x - mean
    total = torch.sum(_square_of_size(deviation), dims, keepdim=keepdim)
    correction = 1 if correction is None else correction
    variance = total / max(count - correction, 0)
    return variance, mean if keepdim else mean.reshape(variance.shape)


def _var(x: Any, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    return _moments(x, dim, correction, keepdim)[0]


def _std(x: Any, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    return torch.sqrt(_moments(x, dim, correction, keepdim)[0])


def _var_mean(x: Any, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    return _moments(x, dim, correction, keepdim)


def _std_mean(x: Any, dim: Dims = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    variance, mean = _moments(x, dim, correction, keepdim)
    return torch.sqrt(variance), mean


def _layer_norm(x: Any, shape: Sequence[int], weight: Any, bias: Any, eps: float) -> Any:
    dims = list(range(x.ndim - len(shape), x.ndim))
    variance, mean = _moments(x, dims, 0, True)
    scale = torch.rsqrt(variance + eps)
    y = (x - mean) * scale
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, scale


def _group_norm(
    x: Any, weight: Any, bias: Any, n: int, c: int, size: int, groups: int, eps: float
) -> Any:
    parts = x.reshape(n, groups, -1)
    variance, mean = _moments(parts, [2], 0, True)
    scale = torch.rsqrt(variance + eps)
    y = ((parts - mean) * scale).reshape(x.shape)
    each = [1, c, *[1] * (x.ndim - 2)]
    y = y if weight is None else y * weight.reshape(each)
    y = y if bias is None else y + bias.reshape(each)
    return y, mean.reshape(n, groups), scale.reshape(n, groups)


def _celu(x: Any, alpha: Any = 1.0) -> Any:
    return aten.elu.default(x, alpha, 1, 1 / alpha)


def _log_sigmoid(x: Any) -> tuple[Any, Any]:
    """With the number first in `minimum`: so 0 is one tie for it and for the magnitude."""
    below = torch.exp(-torch.abs(x))
    return torch.minimum(x, torch.zeros_like(x)) - torch.log1p(below), below


def _logit(x: Any, eps: Any = None) -> Any:
    x = x if eps is None else torch.clamp(x, eps, 1 - eps)
    return torch.log(x) - torch.log1p(-x)


def _huber(x: Any, target: Any, reduction: int = 1, delta: float = 1.0) -> Any:
    apart = torch.abs(x - target)
    loss = torch.where(apart < delta, 0.5 * apart * apart, delta * (apart - 0.5 * delta))
    return (loss, torch.mean(loss) if reduction == 1 else loss, torch.sum(loss))[reduction]


def _cross(a: Any, b: Any, dim: int | None = None) -> Any:
    """The product of vectors of three numbers, along the first such axis if none is said."""
    dim = next(i for i, size in enumerate(a.shape) if size == 3) if dim is None else dim
    (a1, a2, a3), (b1, b2, b3) = a.unbind(dim), b.unbind(dim)
    parts = [a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1]
    return torch.stack(parts, dim if dim >= 0 else dim % a.ndim)


def _size(x: Any) -> Any:
    """Of complex numbers: at 0, where it has a kink, that of what does not change does not."""
    return torch.hypot(x.real, x.imag) if x.is_complex() else NotImplemented


def _sign(x: Any) -> Any:
    """Of complex numbers `x / |x|`, which has a slope."""
    if not x.is_complex():
        return NotImplemented
    size = torch.abs(x)
    return torch.where(size == 0, 0.0, x / torch.where(size == 0, 1.0, size))


def _logsumexp(x: Any, dim: Sequence[int], keepdim: bool = False) -> Any:
    if not x.is_complex():
        return logsumexp(x, dim, keepdim)
    shift = torch.amax(x.real.detach(), dim, keepdim=True)
    total = torch.log(torch.sum(torch.exp(x - shift), dim, keepdim=True)) + shift
    return total if keepdim else total.squeeze(tuple(dim))


def _safe_softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    """0 where all is masked: there nothing is asked of the exponentials."""
    x = x if dtype is None else x.to(dtype)
    blind = torch.all(x == -math.inf, dim, keepdim=True)
    return torch.where(blind, 0.0, torch.softmax(torch.where(blind, 0.0, x), dim))


def _cat(parts: Sequence[Any], dim: int = 0) -> Any:
    """Without what is empty: of one axis it may stand among parts of several."""
    kept = [x for x in parts if x.shape != (0,)]
    return torch.cat(kept, dim) if 0 < len(kept) < len(parts) else NotImplemented


def _of_one(function: Any, ndim: int) -> Callable[..., Any]:
    """A function of batches, which takes one example too."""

    def taken_apart(x: Any, *rest: Any) -> Any:
        return NotImplemented if x.ndim == ndim else function(x[None], *rest)[0]

    return taken_apart


def _cdist(a: Any, b: Any, p: float, mode: Any = None) -> Any:
    """The distances between the rows of two matrices."""
    return torch.linalg.vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, -1)


def _heaviside(x: Any, at_0: Any) -> Any:
    return torch.where(x == 0, at_0, (x > 0).to(x.dtype))


def _rrelu(
    x: Any, noise: Any, low: Any = 1 / 8, high: Any = 1 / 3, training: bool = False, *_: Any
) -> Any:
    """Outside of training."""
    if training:
        raise NotTracedError(
            "The model calls `rrelu` in training, whose slopes are random. Call its `eval()` first."
        )
    return torch.where(x > 0, x, (low + high) / 2 * x)


def _logcumsumexp(x: Any, dim: int) -> Any:
    """By sums of ever more neighbours: PyTorch's own derivative has the logarithm of a gradient."""
    size, reach = x.shape[dim] if x.ndim else 1, 1
    while reach < size:
        rest = size - reach
        more = torch.logaddexp(x.narrow(dim, reach, rest), x.narrow(dim, 0, rest))
        x, reach = torch.cat([x.narrow(dim, 0, reach), more], dim), 2 * reach
    return x


DIVISION_FREE = 8
"""The largest matrices whose determinants are polynomials here, singular ones included."""


def _determinant(a: Any) -> tuple[Any, Any, Any]:
    """What `_linalg_det` gives, the determinant by products alone.

    PyTorch's own derivative is wrong from the third on under `torch.func`. Bird, A simple
    division-free algorithm for computing determinants, Information Processing Letters 111, 2011.
    """
    factors, pivots = torch.linalg.lu_factor(a)
    size = a.shape[-1]
    if size > DIVISION_FREE:
        swaps = pivots != torch.arange(1, size + 1, dtype=pivots.dtype, device=pivots.device)
        sign = torch.where(swaps.sum(-1) % 2 == 0, 1.0, -1.0).to(a.dtype)
        return sign * torch.prod(torch.diagonal(factors, dim1=-2, dim2=-1), -1), factors, pivots
    found = a
    for _ in range(size - 1):
        diagonal = torch.diagonal(found, dim1=-2, dim2=-1)
        below = torch.sum(diagonal, -1, keepdim=True) - torch.cumsum(diagonal, -1)
        found = torch.matmul(torch.triu(found, 1) - torch.diag_embed(below), a)
    return (-1) ** (size - 1) * found[..., 0, 0], factors, pivots


def _polar(size: Any, angle: Any) -> Any:
    """Of any size: PyTorch's own derivative is that of a positive one."""
    return torch.complex(size * torch.cos(angle), size * torch.sin(angle))


def _sinc(x: Any) -> Any:
    scaled = math.pi * x
    zero = x == 0
    square = scaled * scaled
    series = 1 - square / 6 + square * square / 120  # all of it up to the fourth derivative at 0
    return torch.where(zero, series, torch.sin(scaled) / torch.where(zero, 1.0, scaled))


OWN: dict[Any, Callable[..., Any]] = {
    aten.addcdiv.default: lambda x, a, b, *, value=1: x + value * (a / b),
    aten.addcmul.default: lambda x, a, b, *, value=1: x + value * (a * b),
    aten.addmm.default: _plus_product(torch.mm),
    aten.addmv.default: _plus_product(torch.mv),
    aten.baddbmm.default: _plus_product(torch.bmm),
    aten.addr.default: lambda x, a, b, *, beta=1, alpha=1: (
        beta * x + alpha * a[:, None] * b[None, :]
    ),
    aten.celu.default: _celu,
    aten._cdist_forward.default: _cdist,
    aten.abs.default: _size,
    aten.cat.default: _cat,
    aten.col2im.default: _of_one(aten.col2im.default, 3),
    aten.im2col.default: _of_one(aten.im2col.default, 4),
    aten._prelu_kernel.default: lambda x, weight: torch.where(x > 0, x, weight * x),
    aten.cross.default: _cross,
    aten.dot.default: lambda a, b: torch.sum(a * b),
    aten.frac.default: lambda x: x - torch.trunc(x),
    aten.hardshrink.default: lambda x, lambd=0.5: torch.where(torch.abs(x) > lambd, x, 0.0),
    aten.heaviside.default: _heaviside,
    aten.huber_loss.default: _huber,
    aten.lerp.Scalar: lambda a, b, weight: a + weight * (b - a),
    aten.lerp.Tensor: lambda a, b, weight: a + weight * (b - a),
    aten._linalg_det.default: _determinant,
    aten.linalg_cross.default: lambda a, b, *, dim=-1: _cross(a, b, dim),
    aten.log_sigmoid_forward.default: _log_sigmoid,
    aten.logcumsumexp.default: _logcumsumexp,
    aten.logit.default: _logit,
    aten.logsumexp.default: _logsumexp,
    aten.mish.default: lambda x: x * torch.tanh(torch.nn.functional.softplus(x)),
    aten.native_group_norm.default: _group_norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.polar.default: _polar,
    aten.rrelu_with_noise.default: _rrelu,
    aten.rsub.Scalar: lambda x, other, alpha=1: -alpha * x + other,
    aten.rsub.Tensor: lambda x, other, *, alpha=1: -alpha * x + other,
    aten._safe_softmax.default: _safe_softmax,
    aten.sgn.default: _sign,
    aten.sinc.default: _sinc,
    aten.softshrink.default: lambda x, lambd=0.5: x - torch.clamp(x, -lambd, lambd),
    aten.std.correction: _std,
    aten.std_mean.correction: _std_mean,
    aten.t.default: lambda x: aten.transpose.int(x, 0, 1) if x.ndim == 2 else x,
    aten.threshold.default: lambda x, threshold, value: torch.where(x > threshold, x, value),
    aten.var.correction: _var,
    aten.var_mean.correction: _var_mean,
}

DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {**get_decompositions(FUSED), **OWN}
"""From an overload to a function that calls others, or says that it has nothing to do here."""
