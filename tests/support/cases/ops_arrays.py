"""Cases of the functions of `keras.ops` that move, choose and sum up numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from cases.building import operation_case
from cases.case import Case

ROW, MATRIX = (6,), (3, 4)


_case = functools.partial(operation_case, shape=MATRIX)


def _along_last(names: str, *tags: str, **fields: Any) -> list[Case]:
    """Cases of functions that take an axis and need no other argument."""
    return [
        _case(name, lambda x, name=name: getattr(ops, name)(x, axis=-1), *tags, **fields)
        for name in names.split()
    ]


def _each(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For functions that know no batch: applied to one example after the other."""
    return lambda x: ops.vectorized_map(function, x)


def _with_batch_last(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For functions along the first axis: `(batch, n)` to `(n, batch)` and back."""
    return lambda x: ops.transpose(function(ops.transpose(x)))


SEGMENTS = np.array([0, 0, 1, 1, 2, 2])


def _of_three(x: Any) -> Any:
    """Keras loses the shape of quantiles."""
    return ops.reshape(x, (-1, 3))


REDUCTIONS = [
    *_along_last("logsumexp mean nanmean nanstd nansum nanvar ptp std sum var"),
    *_along_last("nanprod prod", low=0.5, high=1.5),
    *_along_last("amax amin max min nanmax nanmin", "kinked"),
    _case(
        "average", lambda x: ops.average(x, axis=-1, weights=np.arange(4.0) + 1), output_shape=(3,)
    ),
    _case("median", lambda x: _of_three(ops.median(x, axis=-1)), "kinked"),
    _case("moments", lambda x: ops.moments(x, axes=[-1]), "moments"),
    _case("moments", lambda x: ops.moments(x, axes=[1, 2]), "moments", variant="two_axes"),
    _case("moments", lambda x: ops.moments(x, [-1])[1], "moments", variant="variance_alone"),
    _case("norm", lambda x: ops.norm(x, axis=-1)),
    _case("norm", lambda x: ops.norm(x, ord=1, axis=-1), "kinked", variant="sum"),
    _case("norm", lambda x: ops.norm(x, ord=np.inf, axis=-1), "kinked", variant="max"),
    _case("norm", lambda x: ops.norm(x, ord=3, axis=-1), "kinked", variant="cubes"),
    _case("norm", lambda x: ops.norm(x, ord="fro", axis=(1, 2)), variant="matrix"),
    _case("percentile", lambda x: _of_three(ops.percentile(x, 30.0, axis=-1)), "kinked"),
    _case("quantile", lambda x: _of_three(ops.quantile(x, 0.3, axis=-1)), "kinked"),
    _case("trapezoid", lambda x: ops.trapezoid(x**2, axis=-1)),
]

RUNNING = [
    *_along_last("cumsum diff log_softmax nancumsum normalize softmax"),
    *_along_last("cumprod nancumprod", low=0.5, high=1.5),
    *_along_last("sort", "kinked"),
    *_along_last("sparsemax", "kinked", shape=(4,), seed=1),
    _case("glu", lambda x: ops.glu(x, axis=-1)),
    _case("cumprod", lambda x: ops.cumprod(x, axis=1), variant="axis_1", low=0.5, high=1.5),
    _case("top_k", lambda x: ops.top_k(x, 2)[0], "kinked"),
]

MOVING = [
    *_along_last("expand_dims flip"),
    _case("append", lambda x: ops.append(x, x**2, axis=-1)),
    _case("broadcast_to", lambda x: ops.broadcast_to(x[:1] * 0 + x, ops.shape(x))),
    _case("concatenate", lambda x: ops.concatenate([x, x**2], axis=1)),
    _case("depth_to_space", lambda x: ops.depth_to_space(x, 2), shape=(2, 2, 4)),
    _case("dstack", lambda x: ops.dstack([x, x**2])),
    _case("fliplr", lambda x: ops.fliplr(x)),
    _case("flipud", lambda x: ops.transpose(ops.flipud(ops.transpose(x))), shape=ROW),
    _case("hstack", lambda x: ops.hstack([x, x**2])),
    _case("meshgrid", lambda x: ops.vectorized_map(_mesh, x), shape=ROW),
    _case("moveaxis", lambda x: ops.moveaxis(x, 1, 2)),
    _case("pad", lambda x: ops.pad(x, [[0, 0], [1, 0], [0, 2]])),
    _case("pad", lambda x: ops.pad(x, [[0, 0], [1, 0], [0, 2]], "reflect"), variant="reflect"),
    _case("pad", lambda x: ops.pad(x, [[0, 0], [1, 0], [0, 2]], "symmetric"), variant="symmetric"),
    _case("ravel", lambda x: ops.reshape(ops.ravel(x), (-1, 3, 4))),
    _case("rearrange", lambda x: ops.rearrange(x, "b (h w) c -> b h (w c)", w=3)),
    _case("repeat", lambda x: ops.repeat(x, 2, axis=1)),
    _case("reshape", lambda x: ops.reshape(x, (-1, 2, 6))),
    _case("roll", lambda x: ops.roll(x, 1, axis=2)),
    _case("rot90", lambda x: ops.rot90(x, axes=(1, 2))),
    _case("space_to_depth", lambda x: ops.space_to_depth(x, 2), shape=(2, 2, 2)),
    _case("squeeze", lambda x: ops.squeeze(x[:, :1], axis=1)),
    _case("stack", lambda x: ops.stack([x, x**2], axis=1)),
    _case("swapaxes", lambda x: ops.swapaxes(x, 1, 2)),
    _case("tile", lambda x: ops.tile(x, [1, 2, 1])),
    _case("transpose", lambda x: ops.transpose(x, (0, 2, 1))),
    _case("vstack", _with_batch_last(lambda x: ops.vstack([x, x**2])), shape=ROW),
]

CUTTING = [
    _case("array_split", lambda x: ops.array_split(x, 3, axis=-1)),
    _case("diag", _each(ops.diag), shape=ROW),
    _case("diagflat", _each(lambda x: ops.diagflat(x)), shape=ROW),
    _case("diagonal", lambda x: ops.diagonal(x, axis1=1, axis2=2)),
    _case("dsplit", lambda x: ops.dsplit(x, 2)),
    _case("extract_sequences", lambda x: ops.extract_sequences(x, 3, 2), shape=ROW),
    _case("get_item", lambda x: ops.get_item(x, (slice(None), slice(0, 2), 1))),
    _case("get_item", lambda x: x[:, ::-2, 1:], variant="negative_stride"),
    _case("get_item", lambda x: x[..., None, 1], variant="new_axis"),
    _case("hsplit", lambda x: ops.hsplit(x, 3)),
    _case("slice", lambda x: ops.slice(x, (0, 1, 0), (ops.shape(x)[0], 2, 3))),
    _case("split", lambda x: ops.split(x, [1, 2], axis=-1)),
    _case("take", lambda x: ops.take(x, [2, 0, 2], axis=1)),
    _case("take_along_axis", lambda x: ops.take_along_axis(x, ops.argsort(x), -1), "kinked"),
    _case("trace", lambda x: ops.trace(x, axis1=1, axis2=2)),
    _case("tril", lambda x: ops.tril(x)),
    _case("triu", lambda x: ops.triu(x)),
    _case("unstack", lambda x: ops.unstack(x, axis=1)),
    _case(
        "vsplit",
        lambda x: [ops.transpose(part) for part in ops.vsplit(ops.transpose(x), 2)],
        shape=ROW,
    ),
]

WRITING = [
    _case(
        "scatter", _each(lambda x: ops.scatter(np.array([[4], [1], [4]]), x[:3], (5,))), shape=ROW
    ),
    _case(
        "scatter_update",
        _each(lambda x: ops.scatter_update(x, [[1], [3]], x[:2] ** 2)),
        shape=ROW,
    ),
    _case(
        "segment_max",
        _with_batch_last(lambda x: ops.segment_max(x, SEGMENTS, 3)),
        "kinked",
        shape=ROW,
    ),
    _case(
        "segment_min",
        _with_batch_last(lambda x: ops.segment_min(x, SEGMENTS, 3)),
        "kinked",
        shape=ROW,
    ),
    _case("segment_prod", _with_batch_last(lambda x: ops.segment_prod(x, SEGMENTS, 3)), shape=ROW),
    _case("segment_sum", _with_batch_last(lambda x: ops.segment_sum(x, SEGMENTS, 3)), shape=ROW),
    _case("slice_update", lambda x: ops.slice_update(x, [0, 1, 1], x[:, :2, :2] ** 2)),
]

SERIES = [
    _case(
        "full_like", lambda x: ops.vectorized_map(lambda r: ops.full_like(r, r[0]), x), shape=ROW
    ),
    _case(
        "geomspace",
        lambda x: ops.transpose(ops.geomspace(x, x + 1, 3), (1, 2, 0)),
        shape=ROW,
        low=0.5,
        high=1.5,
    ),
    _case("linspace", lambda x: ops.linspace(x, x**2, 3, axis=-1), shape=ROW),
    _case("logspace", lambda x: ops.logspace(x, x**2, 3, axis=-1) / 9, shape=ROW),
    _case("vander", _each(lambda x: ops.vander(x, 3)), shape=ROW),
]


def _mesh(x: Any) -> Any:
    return ops.stack(ops.meshgrid(x[:3], x[3:] ** 2))


CASES = [*REDUCTIONS, *RUNNING, *MOVING, *CUTTING, *WRITING, *SERIES]
