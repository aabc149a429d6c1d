"""Cases of the functions of `keras.ops` that networks are made of, and of losses."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from keras import ops

from cases.building import operation_case

ROW, LINE, IMAGE, HEADS = (4,), (6, 2), (4, 4, 2), (3, 2, 2)


_case = functools.partial(operation_case, shape=ROW)


def _constant(x: Any, *shape: int, seed: int = 0) -> Any:
    """A kernel in the dtype of `x`."""
    values = np.random.default_rng(seed).normal(size=shape).astype("float32")
    return ops.cast(values, x.dtype)


def _unfolded(image: Any) -> Any:
    return ops.unfold(image[None], 2)[0]


CTC_PATHS = [
    path
    for path in itertools.product(range(3), repeat=4)
    if [label for label, _ in itertools.groupby(path) if label] == [1, 2]
]
"""What may be said in 4 steps so that 1, 2 is heard, with 0 for silence."""


def _ctc_loss(x: Any) -> Any:
    ones = ops.ones_like(x[:, 0, 0], "int32")
    labels = ops.stack([ones, 2 * ones], axis=1)
    return ops.ctc_loss(labels, x, 2 * ones, 4 * ones)[:, None]


def _sum_over_paths(x: Any) -> Any:
    """The CTC loss by its definition."""
    logs = ops.log_softmax(x)
    paths = [sum(logs[:, t, label] for t, label in enumerate(path)) for path in CTC_PATHS]
    return -ops.logsumexp(ops.stack(paths, axis=1), axis=1, keepdims=True)


def _logits(x: Any) -> Any:
    return ops.stack([x, x**2, ops.sin(x)], axis=-1)


WINDOWS = [
    _case("adaptive_average_pool", lambda x: ops.adaptive_average_pool(x, 3), shape=IMAGE),
    _case("adaptive_max_pool", lambda x: ops.adaptive_max_pool(x, 3), "kinked", shape=IMAGE),
    _case("average_pool", lambda x: ops.average_pool(x, 2), shape=IMAGE),
    _case("max_pool", lambda x: ops.max_pool(x, 2), "kinked", shape=IMAGE),
    _case("conv", lambda x: ops.conv(x, _constant(x, 2, 2, 2, 3)), shape=IMAGE),
    _case("conv_transpose", lambda x: ops.conv_transpose(x, _constant(x, 2, 3, 2)), shape=LINE),
    _case("depthwise_conv", lambda x: ops.depthwise_conv(x, _constant(x, 2, 2, 2, 1)), shape=IMAGE),
    _case(
        "separable_conv",
        lambda x: ops.separable_conv(x, _constant(x, 2, 2, 2, 1), _constant(x, 1, 1, 2, 3)),
        shape=IMAGE,
    ),
    _case("unfold", lambda x: ops.map(_unfolded, x), "loop", shape=(1, 2, 3)),
    _case("fold", lambda x: ops.fold(x, (2, 3), 2), shape=(4, 2)),
]

NORMALIZING = [
    _case(
        "batch_normalization",
        lambda x: ops.batch_normalization(
            x, _constant(x, 4), _constant(x, 4, seed=1) ** 2, -1, _constant(x, 4, seed=2)
        ),
    ),
    _case("layer_normalization", lambda x: ops.layer_normalization(x), "moments"),
    _case("rms_normalization", lambda x: ops.rms_normalization(x)),
    _case("normalize", lambda x: ops.normalize(x, order=3), "kinked", variant="cubes"),
]

ATTENDING = [
    _case(
        "dot_product_attention",
        lambda x: ops.dot_product_attention(x, 2 * x, ops.sin(x)),
        shape=HEADS,
    ),
    _case(
        "dot_product_attention",
        lambda x: ops.dot_product_attention(x, 2 * x, ops.sin(x), is_causal=True),
        variant="causal",
        shape=HEADS,
    ),
]

LOSSES = [
    _case(
        "binary_crossentropy",
        lambda x: ops.binary_crossentropy(ops.ones_like(x) * 0.3, ops.sigmoid(x)),
    ),
    _case(
        "binary_crossentropy",
        lambda x: ops.binary_crossentropy(ops.ones_like(x) * 0.3, x, from_logits=True),
        "kinked",
        variant="logits",
        note="Written with max(x, 0) and |x|, whose kinks cancel.",
    ),
    _case(
        "categorical_crossentropy",
        lambda x: ops.categorical_crossentropy(
            ops.one_hot(ops.zeros_like(x[..., 0], "int32"), 3, dtype=x.dtype)
            + 0 * _logits(x)[:, 0],
            ops.softmax(_logits(x)[:, 0]),
        ),
    ),
    _case(
        "categorical_crossentropy",
        lambda x: ops.categorical_crossentropy(ops.softmax(-_logits(x)), _logits(x), True),
        variant="logits",
    ),
    _case(
        "sparse_categorical_crossentropy",
        lambda x: ops.sparse_categorical_crossentropy(
            ops.zeros_like(x, "int32"), ops.softmax(_logits(x))
        ),
    ),
    _case(
        "sparse_categorical_crossentropy",
        lambda x: ops.sparse_categorical_crossentropy(
            ops.zeros_like(x, "int32"), _logits(x), from_logits=True
        ),
        variant="logits",
    ),
    _case("psnr", lambda x: ops.vectorized_map(lambda r: ops.psnr(r, r**2, 2.0)[None], x)),
    _case("ctc_loss", _ctc_loss, "float32_inside", twin=_sum_over_paths, shape=(4, 3)),
]

CASES = [*WINDOWS, *NORMALIZING, *ATTENDING, *LOSSES]
