"""Fused kernels, and what they stand for: PyTorch's own decompositions of them."""

from __future__ import annotations

import torch
from torch._decomp import get_decompositions

aten = torch.ops.aten

FUSED = (
    aten.native_layer_norm,
    aten.native_group_norm,
    aten.native_batch_norm,
    aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_no_training,
    aten._batch_norm_no_update,
    aten._fused_rms_norm,
    aten._safe_softmax,
    aten.hardsigmoid,
    aten.hardswish,
    aten.mish,
    aten.celu,
    aten.addcmul,
    aten.addcdiv,
    aten.addmv,
    aten.addr,
    aten.lerp,
    aten.logit,
    aten.mse_loss,
    aten.smooth_l1_loss,
    aten.huber_loss,
    aten.binary_cross_entropy,
    aten.nll_loss_forward,
    aten.soft_margin_loss,
    aten.var,
    aten.var_mean,
    aten.std,
    aten.std_mean,
    aten.nan_to_num,
    aten.sinc,
    aten.log_sigmoid_forward,
    aten.rsub,
    aten.t,
    aten.linspace,
    aten.logspace,
    aten.native_dropout,
    aten.native_dropout,
    aten.pixel_shuffle,
    aten.pixel_unshuffle,
    aten.channel_shuffle,
    aten.dot,
    aten.vdot,
    aten.mv,
    aten.split_with_sizes_copy,
    aten.aminmax,
    aten.frac,
    aten.reflection_pad1d,
    aten.reflection_pad2d,
    aten.reflection_pad3d,
    aten.replication_pad1d,
    aten.replication_pad2d,
    aten.replication_pad3d,
)
"""Operations that are written down as others, of which there are rules."""

DECOMPOSITIONS = get_decompositions(FUSED)
"""From an overload to a function that calls the others."""
