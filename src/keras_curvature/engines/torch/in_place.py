"""ATen operations in place, and those that give the same as a new result."""

from __future__ import annotations

from typing import Any

import torch

from keras_curvature.engines.torch.refusals import NotTracedError

aten = torch.ops.aten

RENAMING = {
    aten.detach_.default: aten.detach.default,
    aten.squeeze_.default: aten.squeeze.default,
    aten.squeeze_.dim: aten.squeeze.dim,
    aten.squeeze_.dims: aten.squeeze.dims,
    aten.swapaxes_.default: aten.transpose.int,
    aten.swapdims_.default: aten.transpose.int,
    aten.t_.default: aten.t.default,
    aten.transpose_.default: aten.transpose.int,
    aten.unsqueeze_.default: aten.unsqueeze.default,
}
"""Operations in place that only look at the same memory in another way."""


OTHERWISE_CALLED = {
    aten.normal_.default: aten.normal_functional.default,
}
"""Operations in place, and those that give the same as a new result under another name."""


def functional(func: Any, args: Any, kwargs: Any) -> tuple[Any, torch.Tensor]:
    """What gives the same as a new result, and the tensor that is changed."""
    name = func.overloadpacket.__name__
    arguments = func._schema.arguments
    given = dict(zip((a.name for a in arguments), args, strict=False)) | kwargs
    changed = [given[a.name] for a in arguments if a.is_write and a.name in given]
    packet = getattr(aten, name.removesuffix("_"), None)
    overload = OTHERWISE_CALLED.get(func) or _alike(func, packet)
    if overload is None or len(changed) != 1:
        raise NotTracedError(
            f"The model calls `torch.{name}`, which changes a tensor in place in a way that is not "
            "known here. Write it so that it gives a new tensor."
        )
    return overload, changed[0]


def _alike(func: Any, packet: Any) -> Any:
    """The overload that takes the same and changes nothing, or `None`."""
    found = [getattr(packet, name) for name in packet.overloads()] if packet is not None else []
    taken = _taken(func)
    return next((f for f in found if not f._schema.is_mutable and _taken(f) == taken), None)


def _taken(func: Any) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in func._schema.arguments]


def defaults(func: Any, args: Any) -> dict[str, Any]:
    """What an operation in place takes where nothing is said: the other one may have no default."""
    left = func._schema.arguments[len(args) :]
    known = {a.name: a.default_value for a in left if a.has_default_value()}
    return {name: value for name, value in known.items() if value is not None}
