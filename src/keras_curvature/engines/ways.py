"""A framework's own way to a second derivative, under the name that people know it by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from keras_curvature.typing import Array

Function: TypeAlias = Callable[[Any], Any]
"""From a tensor `(batch, *input_shape)` of a framework to one `(batch, *output_shape)`."""


@dataclass(frozen=True)
class Way:
    """One way, as anyone would write it.

    Attributes:
        name: in words.
        along: `(f, x, v)` to the second derivative of every output along `v`, which has the shape
            of `x`; arrays of NumPy in and out, `(batch, *output_shape)`.
        hessian: `(f, x)` to `(batch, *output_shape, *input_shape, *input_shape)`, where the way
            gives whole Hessians.
        also: other names of it.
    """

    name: str
    along: Callable[[Function, Array, Array], Array]
    hessian: Callable[[Function, Array], Array] | None = None
    also: tuple[str, ...] = ()


def of_hessians(
    name: str, hessian: Callable[[Function, Array], Array], also: tuple[str, ...] = ()
) -> Way:
    """A way that gives whole Hessians only."""

    def along(f: Function, x: Array, v: Array) -> Array:
        found = hessian(f, x)
        n, d = len(x), x[:1].size
        outputs = found.shape[1 : found.ndim - 2 * (x.ndim - 1)]
        flat, direction = found.reshape(n, -1, d, d), v.reshape(n, d)
        along_v = np.einsum("nkij,ni,nj->nk", flat, direction, direction)
        return along_v.reshape(n, *outputs)

    return Way(name, along, hessian, also)
