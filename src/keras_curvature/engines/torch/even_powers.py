"""Even powers of norms without their roots, which have a kink where the power is smooth.

A Gaussian of the distance to a point is asked for its curvature at that point: `|x|²` has 2 there,
`|x|` none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

aten = torch.ops.aten


@dataclass(frozen=True)
class _Root:
    """The root of a sum: of which order, of which tensors, and what makes the sum."""

    order: int
    of: tuple[torch.Tensor, ...]
    total: Callable[[], torch.Tensor]


class EvenPowers:
    """Knows which tensors are norms while a model runs."""

    def __init__(self) -> None:
        """Knows none."""
        self._roots: dict[int, tuple[torch.Tensor, list[int], _Root]] = {}

    def note(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Remembers a norm, and what it is the root of."""
        root = _root(func, args, kwargs)
        if root is not None:
            self._roots[id(output)] = (output, _versions(output, root), root)

    def power(self, func: Any, args: Any) -> Callable[[], torch.Tensor] | None:
        """What makes an even power of a norm of that order, without its root; none otherwise."""
        base, exponent = args[0], args[1] if len(args) > 1 else None
        if func is aten.mul.Tensor and exponent is base:
            exponent = 2
        elif func is not aten.pow.Tensor_Scalar:
            return None
        kept = self._roots.get(id(base))
        if kept is None or not isinstance(exponent, (int, float)):
            return None
        tensor, versions, root = kept
        times = exponent / root.order
        if times < 1 or not float(times).is_integer() or _versions(tensor, root) != versions:
            return None
        return lambda: root.total() if times == 1 else root.total() ** int(times)


def _versions(tensor: torch.Tensor, root: _Root) -> list[int]:
    """How often the norm and what it is of were written in place."""
    return [x._version for x in (tensor, *root.of)]


def _root(func: Any, args: Any, kwargs: Any) -> _Root | None:
    if func is aten.hypot.default:
        a, b = args
        return _Root(2, (a, b), lambda: a * a + b * b)
    if func is not aten.linalg_vector_norm.default or args[0].is_complex():
        return None
    given: list[Any] = [*args, *[2, None, False][len(args) - 1 :]]
    x, order, dim, keepdim = given
    if order not in (2, 4, 6, 8):
        return None

    def total() -> torch.Tensor:
        powers = x * x if order == 2 else x ** int(order)
        return torch.sum(powers, dim, keepdim=keepdim, dtype=kwargs.get("dtype"))

    return _Root(int(order), (x,), total)
