"""PyTorch's own functions and modules, as code of PyTorch calls them: right to the second order.

The truth is differences of what they give in float64.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import linalg, nn, special
from torch.autograd import functional
from torch.nn import functional as F  # noqa: N812, as everybody calls it

import keras_curvature as kc
import truth
from keras_curvature.engines.torch.conversion import to_numpy

EXAMPLES, WIDTH = 3, 4
RNG = np.random.default_rng(1)
CELLS = RNG.permuted(np.tile(np.linspace(-0.9, 0.83, WIDTH), (EXAMPLES, 1)), axis=1)
X = CELLS + RNG.uniform(-0.03, 0.03, CELLS.shape)  # no two of an example near each other, or 0
STEP = 0.004
"""Of the differences: kinks are further than four of them, and rounding leaves 2e-10."""

torch.manual_seed(0)
W, V = torch.randn(4, 4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)


def pairs(x):
    """As two rows of two, `(n, 2, 2)`."""
    return x.reshape(-1, 2, 2)


def regular(x):
    """Matrices `(n, 4, 4)` far from singular ones."""
    return torch.stack([x, x**2, x.sin(), x.cos()], 1) + 3 * torch.eye(4, dtype=x.dtype)


def positive(x):
    """Symmetric positive definite ones, with eigenvalues that are far apart."""
    return regular(x) @ regular(x).mT + torch.diag(torch.arange(1, 60, 15, dtype=x.dtype))


def products(x):
    """All products of two numbers, `(n, 4, 4)`."""
    return x[:, :, None] * x[:, None]


def rows(x, *places):
    return torch.tensor([places]).expand(len(x), len(places))


def affine_grid(x):
    return F.affine_grid(
        torch.cat([x, x], 1)[:, :6].reshape(-1, 2, 3) ** 2, (len(x), 1, 1, 2), False
    )


def gradient_of(y, x):
    return torch.autograd.grad(y, x, create_graph=True)[0]


def as_complex(x):
    return torch.complex(x, x**2)


def hermitian(x):
    off = torch.tensor([[0, 1.0], [-1, 0]], dtype=x.dtype) * x[:, 2:, None].prod(1, True)
    return torch.complex(torch.diag_embed(x[:, :2]), off)


def with_part(write):
    """Complex numbers, a real part of whose memory is written."""

    def function(x):
        z = as_complex(x).clone()
        write(z, x)
        return torch.view_as_real(z).prod(-1)

    return function


def written_as_complex(x):
    y = torch.zeros(*x.shape, 2, dtype=x.dtype)
    torch.view_as_complex(y).copy_(torch.exp(1j * x) * x)
    return y.prod(-1)


def first_class(x):
    return torch.zeros(len(x), dtype=torch.int64)


def heads(x, queries, others):
    """Queries, keys and values of so many heads."""
    parts = pairs(x), pairs(x) ** 2, pairs(x).sin()
    return [torch.stack([p] * n, 1) for p, n in zip(parts, (queries, others, others), strict=True)]


attend = F.scaled_dot_product_attention
LOWER = torch.tensor([[True, False], [True, True]])

MODULES = {
    "BatchNorm1d": nn.BatchNorm1d(4),
    "GroupNorm": nn.GroupNorm(2, 4),
    "LayerNorm": nn.LayerNorm(4),
    "RMSNorm": nn.RMSNorm(4),
    "Sequential": nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 2)),
}
for _module in MODULES.values():
    _module.double().eval()
with torch.no_grad():
    MODULES["BatchNorm1d"].running_mean.copy_(V)

ATTENTION = nn.MultiheadAttention(4, 2, batch_first=True).double().eval()
ENCODER = nn.TransformerEncoderLayer(4, 2, 8, 0.3, "gelu", batch_first=True).double().eval()
RECURRENT = {
    kind.__name__: kind(2, 3, batch_first=True).double() for kind in (nn.GRU, nn.LSTM, nn.RNN)
}
CONV, TURNED = nn.Conv1d(1, 3, 3, padding=1).double(), nn.ConvTranspose1d(1, 2, 3).double()
CONV_2D, BILINEAR = nn.Conv2d(1, 2, 2).double(), nn.Bilinear(4, 4, 3).double()
INSTANCE = nn.InstanceNorm1d(2).double()

LAYERS = {
    **{name: lambda x, module=module: module(x).tanh() for name, module in MODULES.items()},
    **{name: lambda x, cell=cell: cell(pairs(x))[0] for name, cell in RECURRENT.items()},
    "affine_grid, squared": affine_grid,
    "MultiheadAttention": lambda x: ATTENTION(*[regular(x)] * 3, need_weights=False)[0],
    "MultiheadAttention[weights]": lambda x: ATTENTION(*[regular(x)] * 3)[0],
    "TransformerEncoderLayer": lambda x: ENCODER(regular(x)),
    "Conv1d": lambda x: CONV(x[:, None]).tanh(),
    "Conv2d": lambda x: CONV_2D(pairs(x)[:, None]).tanh(),
    "ConvTranspose1d": lambda x: TURNED(x[:, None]).tanh(),
    "InstanceNorm1d": lambda x: INSTANCE(pairs(x)),
    "Bilinear": lambda x: BILINEAR(x, x),
    "attention": lambda x: attend(*heads(x, 1, 1)),
    "attention[causal]": lambda x: attend(*heads(x, 1, 1), is_causal=True),
    "attention[mask]": lambda x: attend(*heads(x, 1, 1), attn_mask=LOWER),
    "attention[grouped]": lambda x: attend(*heads(x, 4, 2), enable_gqa=True),
    "embedding": lambda x: F.embedding((x > 0).long(), W) * x[..., None] ** 2,
    "embedding_bag": lambda x: F.embedding_bag((x > 0).long(), W, mode="sum") * x**2,
    "normalize": F.normalize,
    "affine_grid": lambda x: (
        F.affine_grid(torch.stack([x[:, :3], x[:, 1:]], 1), (len(x), 1, 2, 2), align_corners=False)
        ** 2
    ),
    "grid_sample": lambda x: F.grid_sample(
        pairs(x)[:, None], 0.3 * x[:, None, None, :2], align_corners=False
    ),
    "fold": lambda x: F.fold(F.unfold(pairs(x)[:, None] ** 2, 1), (2, 2), 1),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x[:, :, None, None] ** 2, 2),
    **{
        f"pad[{mode}]": lambda x, mode=mode: F.pad(x[:, None] ** 2, (1, 1), mode)
        for mode in ("circular", "constant", "reflect", "replicate")
    },
    **{
        f"interpolate[{mode}]": lambda x, mode=mode: F.interpolate(
            pairs(x)[:, None] ** 2, size=(3, 3), mode=mode
        )
        for mode in ("area", "bicubic", "bilinear", "nearest", "nearest-exact")
    },
    **{
        name: lambda x, name=name: getattr(F, name)(x[:, None] ** 2, 2)
        for name in ("avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d", "max_pool1d")
    },
    "lp_pool1d": lambda x: F.lp_pool1d(x[:, None], 2, 2),
    "max_pool2d": lambda x: F.max_pool2d(pairs(x)[:, None] ** 2, 2),
}

ACTIVATIONS = {
    **{
        name: lambda x, name=name: getattr(F, name)(2.6 * x)
        for name in (
            *("celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh"),
            *("leaky_relu", "logsigmoid", "mish", "relu", "relu6", "rrelu", "selu", "silu"),
            *("softplus", "softshrink", "softsign", "tanhshrink"),
        )
    },
    "elu[2]": lambda x: F.elu(x, 2.0),
    "gelu[tanh]": lambda x: F.gelu(x, approximate="tanh"),
    "glu": F.glu,
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.3], dtype=x.dtype)),
    "softmax": lambda x: F.softmax(x, 1),
    "softmin": lambda x: F.softmin(x, 1),
    "threshold": lambda x: F.threshold(x, 0.1, 2.0) * x,
}

LOSSES = {
    name: lambda x, loss=loss: loss(x, reduction="none")
    for name, loss in {
        "binary_cross_entropy": lambda x, **how: F.binary_cross_entropy(
            x.sigmoid(), torch.ones_like(x) / 3, **how
        ),
        "binary_cross_entropy_with_logits": lambda x, **how: F.binary_cross_entropy_with_logits(
            x, torch.ones_like(x) / 3, **how
        ),
        "cross_entropy": lambda x, **how: F.cross_entropy(x, first_class(x), **how),
        "gaussian_nll": lambda x, **how: F.gaussian_nll_loss(x, 1 + x**2, x.exp(), **how),
        "huber": lambda x, **how: F.huber_loss(2 * x, x**2, **how),
        "kl_div": lambda x, **how: F.kl_div(F.log_softmax(x, 1), torch.full_like(x, 0.25), **how),
        "mse": lambda x, **how: F.mse_loss(x**2, torch.ones_like(x), **how),
        "nll": lambda x, **how: F.nll_loss(F.log_softmax(x, 1), first_class(x), **how),
        "poisson_nll": lambda x, **how: F.poisson_nll_loss(x, torch.ones_like(x), **how),
        "smooth_l1": lambda x, **how: F.smooth_l1_loss(2 * x, x**2, **how),
        "soft_margin": lambda x, **how: F.soft_margin_loss(x, torch.ones_like(x), **how),
        "triplet_margin": lambda x, **how: F.triplet_margin_loss(x, x**2, x.sin() + 1, **how),
    }.items()
} | {
    "cosine_similarity": lambda x: F.cosine_similarity(x, x**2 + 1, 1),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x**2 + 1),
}

OF_A_NUMBER = {
    **{
        name: lambda x, name=name: getattr(special, name)(x.abs() + 0.2)
        for name in (
            *("digamma", "entr", "erf", "erfc", "erfcx", "exp2", "expit", "expm1", "gammaln"),
            *("i0", "i0e", "i1", "i1e", "log1p", "log_ndtr", "ndtr", "psi", "sinc"),
        )
    },
    "abs": lambda x: x.abs() ** 3,
    "angle": lambda x: torch.angle(torch.complex(x, x**2 + 1)),
    "atan2": lambda x: torch.atan2(x, x**2 + 1),
    "complex": lambda x: torch.view_as_real(torch.complex(x, x**2) ** 2),
    "copysign": lambda x: torch.copysign(x**2, x),
    "erfinv": lambda x: torch.erfinv(x * 0.5),
    "float_power": lambda x: torch.float_power(x.abs() + 1, 2.5),
    "frac": lambda x: torch.frac(2 * x) ** 2,
    "heaviside": lambda x: x**2 * torch.heaviside(x, torch.zeros(1, dtype=x.dtype)),
    "hypot": lambda x: torch.hypot(x, x**2 + 1),
    "ldexp": lambda x: torch.ldexp(x**2, torch.tensor(2)),
    "logaddexp": lambda x: torch.logaddexp(x, x**2),
    "logit": lambda x: torch.logit(x.sigmoid()),
    "mvlgamma": lambda x: torch.mvlgamma(x.abs() + 3, 2),
    "nan_to_num": lambda x: torch.nan_to_num(x**2),
    "ndtri": lambda x: special.ndtri(x.sigmoid()),
    "polar": lambda x: torch.view_as_real(torch.polar(x, x**2)),
    "polygamma": lambda x: torch.polygamma(1, x.abs() + 1),
    "pow": lambda x: (x.abs() + 0.1) ** x,
    "round": lambda x: x.round() * x**2,
    "sgn": lambda x: torch.sgn(x) * x**2,
    "xlog1py": lambda x: special.xlog1py(x, x**2),
    "xlogy": lambda x: special.xlogy(x, x**2 + 1),
    "zeta": lambda x: special.zeta(2.0, x + 2),
}

CHOOSING = {
    "amax": lambda x: torch.amax(x**2, 1),
    "clamp": lambda x: torch.clamp(x**2, 0.2, 0.5),
    "clamp[tensors]": lambda x: torch.clamp(x**2, x / 2, x + 1),
    "cummax": lambda x: torch.cummax(x**2, 1)[0],
    "fmax": lambda x: torch.fmax(x**2, x),
    "fmod": lambda x: torch.fmod(x**2, 0.3),
    "kthvalue": lambda x: torch.kthvalue(x**2, 2)[0],
    "maximum": lambda x: torch.maximum(x**2, x),
    "median": lambda x: torch.median(x**2, 1)[0],
    "quantile": lambda x: torch.quantile(x**2, 0.3, dim=1),
    "scatter_reduce[amax]": lambda x: torch.zeros(len(x), 2, dtype=x.dtype).scatter_reduce(
        1, rows(x, 0, 1, 0, 1), x**2, "amax"
    ),
    "searchsorted": lambda x: (
        torch.searchsorted(torch.linspace(-1, 1, 3, dtype=x.dtype), x.contiguous()) * x**2
    ),
    "sort": lambda x: torch.sort(x**2, 1)[0],
    "take_along_dim": lambda x: torch.take_along_dim(x**2, x.argsort(1), 1),
    "topk": lambda x: torch.topk(x**2, 2)[0],
    "where": lambda x: torch.where(x > 0, x**2, x**3),
}

ALGEBRA = {
    "addmm": lambda x: torch.addmm(x, x, W),
    "baddbmm": lambda x: torch.baddbmm(*[pairs(x)] * 3),
    "bmm": lambda x: torch.bmm(pairs(x), pairs(x)),
    "cdist": lambda x: torch.cdist(pairs(x), pairs(x) ** 2 + 3),
    "cholesky": lambda x: linalg.cholesky(positive(x)),
    "cholesky_solve": lambda x: torch.cholesky_solve(x[..., None], linalg.cholesky(positive(x))),
    "cross": lambda x: linalg.cross(x[:, :3], x[:, 1:] ** 2),
    "det": lambda x: linalg.det(regular(x)),
    "eigvalsh": lambda x: linalg.eigvalsh(positive(x)),
    "einsum": lambda x: torch.einsum("ni,ij,nj->n", x, W, x),
    "fft": lambda x: torch.fft.fft(x**2).real,
    "inv": lambda x: linalg.inv(regular(x)),
    "irfft": lambda x: torch.fft.irfft(torch.fft.rfft(x) ** 2),
    "kron": lambda x: torch.vmap(torch.kron)(x, x),
    "logdet": lambda x: torch.logdet(positive(x)),
    "lstsq": lambda x: linalg.lstsq(regular(x), x[..., None])[0],
    "lu": lambda x: linalg.lu(regular(x))[2],
    "matrix_exp": lambda x: torch.matrix_exp(pairs(x)),
    "matrix_norm": lambda x: linalg.matrix_norm(pairs(x), "nuc"),
    "matrix_power": lambda x: linalg.matrix_power(pairs(x), 3),
    "norm": lambda x: linalg.norm(x, dim=1),
    "pinv": lambda x: linalg.pinv(regular(x)),
    "qr": lambda x: linalg.qr(regular(x))[1].abs(),
    "rfft": lambda x: torch.fft.rfft(x**2).abs(),
    "slogdet": lambda x: linalg.slogdet(regular(x))[1],
    "solve": lambda x: linalg.solve(regular(x), x[..., None]),
    "solve_triangular": lambda x: linalg.solve_triangular(regular(x), x[..., None], upper=True),
    "stft": lambda x: (
        torch.stft(
            x.repeat(1, 4), 4, window=torch.ones(4, dtype=x.dtype), return_complex=True
        ).abs()
        ** 2
    ),
    "svdvals": lambda x: linalg.svdvals(positive(x)),
    "tensordot": lambda x: torch.tensordot(x, W, 1) ** 2,
    "vector_norm": lambda x: linalg.vector_norm(x, 3, dim=1),
}

SUMS = {
    "cumprod": lambda x: torch.cumprod(x, 1),
    "cumsum": lambda x: torch.cumsum(x**2, 1),
    "cumulative_trapezoid": lambda x: torch.cumulative_trapezoid(x**2),
    "diff": lambda x: torch.diff(x**2),
    "logcumsumexp": lambda x: torch.logcumsumexp(x, 1),
    "logsumexp": lambda x: torch.logsumexp(x, 1),
    "prod": lambda x: torch.prod(x, 1),
    "std": lambda x: x.std(1),
    "trapezoid": lambda x: torch.trapezoid(x**2, x),
    "var": lambda x: x.var(1),
}

PLACES = {
    "as_strided": lambda x: torch.as_strided(x**3, (len(x), 2), (4, 2), 1),
    "as_strided, of a view": lambda x: torch.as_strided(
        pairs(x**3).mT.contiguous(), (len(x), 2), (4, 2)
    ),
    "cat, something empty": lambda x: torch.cat([torch.zeros(0), x**2], -1),
    "unfold of examples as channels": lambda x: F.unfold(pairs(x**2), (1, 2)).reshape(len(x), -1),
    "as_strided_scatter": lambda x: torch.as_strided_scatter(
        x**2, x[:, :1] ** 3, (len(x), 1), (4, 1)
    ),
    "chunk": lambda x: torch.cat([part**2 for part in x.chunk(2, 1)], 1),
    "diag_embed": lambda x: torch.diag_embed(x**2),
    "diagonal": lambda x: torch.diagonal(products(x), dim1=1, dim2=2),
    "expand": lambda x: (x[:, :1] ** 2).expand(-1, 3),
    "flip": lambda x: torch.flip(x**2, (1,)),
    "gather": lambda x: torch.gather(x**2, 1, rows(x, 0, 0, 3)),
    "index_add": lambda x: (x**2).index_add(1, torch.tensor([0, 1]), x[:, :2]),
    "index_copy": lambda x: (x**2).index_copy(1, torch.tensor([0]), x[:, 1:2] ** 3),
    "index_fill": lambda x: (x**2).index_fill(1, torch.tensor([0]), 1.0),
    "movedim": lambda x: torch.movedim(products(x), 1, 2),
    "one_hot": lambda x: F.one_hot((x > 0).long(), 2) * x[..., None] ** 2,
    "put": lambda x: torch.zeros_like(x).put(torch.arange(x.numel()).reshape(x.shape), x**2),
    "repeat_interleave": lambda x: (x**2).repeat_interleave(2, 1),
    "roll": lambda x: torch.roll(x**2, 1, 1),
    "scatter_add": lambda x: torch.zeros(len(x), 6, dtype=x.dtype).scatter_add(
        1, rows(x, 0, 2, 2, 5), x**3
    ),
    "scatter_reduce[prod]": lambda x: torch.ones(len(x), 2, dtype=x.dtype).scatter_reduce(
        1, rows(x, 0, 1, 0, 1), x, "prod"
    ),
    "tensor_split": lambda x: torch.stack(torch.tensor_split(x**2, 2, 1), 1),
    "trace": lambda x: torch.vmap(torch.trace)(products(x)),
    "tril": lambda x: torch.tril(products(x)),
    "unfold": lambda x: (x**2).unfold(1, 2, 1),
}


def parts_in_place(x):
    y = x.clone()
    y[:, 0] = x[:, 1] ** 2
    y[:, 1:].mul_(torch.sin(x[:, :1]))
    y += x
    return y


def views_of_views(x):
    y = torch.zeros_like(x)
    y.view(-1)[::2] = x.reshape(-1)[::2] ** 3
    y.t()[1] += x[:, 0] * x[:, 2]
    return y


def sum_in_place(x):
    total = torch.zeros(len(x), 1, dtype=x.dtype)
    for i in range(x.shape[1]):
        total[:, 0] += x[:, i] ** (i + 1)
    return total


def by_indexes(x):
    y = torch.zeros(len(x), 5, dtype=x.dtype)
    y[:, [0, 3]] = x[:, :2] * x[:, 2:]
    return y


def by_a_mask(x):
    y = x**2
    y[x > 0] = 0
    return y * x


def filled(x):
    y = torch.empty_like(x)
    y[:, 0].fill_(1.0)
    y[:, 1:] = x[:, 1:] ** 2
    return y * x


def filled_with_a_tensor(x):
    y = torch.empty(len(x), 2, dtype=x.dtype)
    for i in range(len(x)):
        y[i].fill_((x[i] ** 2).sum())
    return y * x[:, :2]


def copied(x):
    y = torch.empty(len(x), 4, dtype=x.dtype)
    y.copy_(x**3)
    return y


IN_PLACE = {
    "abs_": lambda x: (x**3).abs_(),
    "sgn_": lambda x: x.clone().sgn_() * x**2,
    **{
        function.__name__: function
        for function in (parts_in_place, views_of_views, sum_in_place, by_indexes, by_a_mask)
    },
    **{function.__name__: function for function in (filled, filled_with_a_tensor, copied)},
    **{
        name: lambda x, name=name: getattr(x.clone(), name)() + x**2
        for name in ("exp_", "neg_", "sigmoid_", "sin_", "square_", "tanh_", "zero_")
    },
    "add_": lambda x: x.clone().add_(x**2),
    "addcmul_": lambda x: x.clone().addcmul_(x, x, value=0.5),
    "clamp_": lambda x: x.clone().clamp_(-0.2, 0.3) * x,
    "hardswish[inplace]": lambda x: F.hardswish(2.6 * x, inplace=True),
    "index_add_": lambda x: (x**2).index_add_(1, torch.tensor([0, 1]), x[:, :2]),
    "masked_fill_": lambda x: (x**2).masked_fill_(x > 0, 0.0),
    "relu[inplace]": lambda x: F.relu(x.clone(), inplace=True) * x,
    "squeeze_": lambda x: x[:, None].clone().squeeze_(1) ** 2,
    "transpose_": lambda x: products(x).transpose_(1, 2) * x[:, :, None],
    "unsqueeze_": lambda x: x.clone().unsqueeze_(1) ** 2,
}

TRANSFORMED = {
    "autograd.functional.hvp": lambda x: functional.hvp(
        lambda y: (y**4).sum(), x, x.sin(), create_graph=True
    )[1],
    "autograd.functional.jvp": lambda x: functional.jvp(
        torch.sin, x, torch.ones_like(x), create_graph=True
    )[1],
    "autograd.grad": lambda x: gradient_of(MODULES["Sequential"](x).sum(), x),
    "autograd.grad, asked for": lambda x: gradient_of((x.requires_grad_() ** 4).prod(1).sum(), x),
    "checkpoint": lambda x: torch.utils.checkpoint.checkpoint(
        lambda y: torch.sin(y**2), x, use_reentrant=False
    ),
    "func.grad": lambda x: torch.vmap(torch.func.grad(lambda row: (row**3).sum()))(x),
    "func.hessian": lambda x: torch.vmap(torch.func.hessian(lambda row: row.prod().sin()))(x),
    "func.jacrev": lambda x: torch.vmap(torch.func.jacrev(lambda row: row.sin().prod()))(x),
    "vmap": lambda x: torch.vmap(lambda row: torch.outer(row, row).sum(0))(x),
}

COMPLEX = {
    "abs of nothing": lambda x: torch.complex(0 * x, 0 * x).abs() + x**2,
    "eigh": lambda x: torch.linalg.eigh(hermitian(x))[1].abs(),
    "eigvalsh": lambda x: torch.linalg.eigvalsh(hermitian(x)),
    "imag written": with_part(lambda z, x: z.imag.mul_(x)),
    "logsumexp": lambda x: torch.logsumexp(as_complex(x), 1).imag,
    "part of view_as_real written": with_part(lambda z, x: torch.view_as_real(z)[..., 1].mul_(x)),
    "real assigned": with_part(lambda z, x: setattr(z, "real", x**3)),
    "sgn": lambda x: torch.sgn(as_complex(x)).imag,
    "slogdet": lambda x: torch.linalg.slogdet(hermitian(x) + 3 * torch.eye(2))[1],
    "var": lambda x: torch.var(as_complex(x), 1),
    "view_as_complex written": written_as_complex,
}

BLIND = torch.tensor([[0.0, -2.4e38], [-2.4e38, -2.4e38]], dtype=torch.float64)
"""Added to the scores, as Keras masks them; the second query sees nothing."""


def biased(x, bias):
    tokens = pairs(x)[:, None]
    return attend(tokens, tokens.sin(), tokens**2, bias)


BIASED = {
    "a query that is let see nothing": lambda x: biased(x, LOWER & LOWER.mT & ~LOWER[:1]),
    "a query that sees nothing": lambda x: biased(x, BLIND),
    "by keyword": lambda x: attend(
        x[:, None], x.sin()[:, None], x[:, None], attn_mask=BLIND[1:, 1:]
    ),
    "bias": lambda x: biased(x, BLIND.clamp(min=-1)),
}

OPERATIONS = {
    f"{family}/{name}": function
    for family, table in {
        "layers": LAYERS,
        "activations": ACTIVATIONS,
        "losses": LOSSES,
        "numbers": OF_A_NUMBER,
        "choosing": CHOOSING,
        "algebra": ALGEBRA,
        "sums": SUMS,
        "places": PLACES,
        "in place": IN_PLACE,
        "complex": COMPLEX,
        "transformed": TRANSFORMED,
        "biased attention": BIASED,
    }.items()
    for name, function in table.items()
}


def values(function):
    """Of whole batches, one behind the other."""

    def of_points(points):
        batches = (
            torch.from_numpy(points)
            .requires_grad_()
            .clone()
            .split_with_sizes([EXAMPLES] * (len(points) // EXAMPLES))
        )
        found = [function(x.clone()).detach().reshape(EXAMPLES, -1) for x in batches]
        return torch.cat(found).numpy()

    return of_points


@pytest.mark.every(12)
@pytest.mark.parametrize("name", OPERATIONS)
def test_derivatives_are_right(name):
    function = OPERATIONS[name]
    known = truth.hessian_of_value(values(function), X, STEP)
    size = max(1.0, np.abs(known).max())
    for engine in ("taylor", "nested"):
        found = kc.derivatives(function, X, ["hessian"], engine=engine, dtype="float64")
        found |= kc.derivatives(function, X, ["laplacian"], engine=engine, dtype="float64")
        hessian = to_numpy(found["hessian"]).reshape(known.shape)
        laplacian = to_numpy(found["laplacian"]).reshape(known.shape[:2])
        message = f"{engine}, hessian"
        np.testing.assert_allclose(hessian, known, rtol=0, atol=1e-6 * size, err_msg=message)
        trace = np.einsum("nmii->nm", known)
        message = f"{engine}, laplacian"
        np.testing.assert_allclose(laplacian, trace, rtol=0, atol=1e-6 * size, err_msg=message)
