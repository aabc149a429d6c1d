"""Reverse over reverse: PyTorch's own mode, one over the other, on the model as it is evaluated.

The reference engine. Forward mode over forward mode would be wrong for normalisations,
determinants and solutions of linear equations; reverse over reverse is right there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from keras_curvature.engines.engine import Engine
from keras_curvature.engines.torch.first_derivatives import row_gradients, tiled
from keras_curvature.engines.torch.flat_function import FlatFunction


@dataclass(frozen=True)  # equal to itself in a key
class Nested(Engine[FlatFunction]):
    """Reverse mode over reverse mode."""

    name = "nested"
    why = "exact, and covers whatever PyTorch can differentiate twice"

    def products(
        self,
        f: FlatFunction,
        rows: Any,
        others: Sequence[Any],
        seeds: Any,
        directions: Any,
    ) -> Any:
        """The gradient of the slope along each direction, of so many copies of the rows."""
        k, n, d = directions.shape
        z, seeds = tiled(rows, k), tiled(seeds, k)
        others = [tiled(r, k) for r in others]
        v = torch.reshape(directions, (k * n, d))
        _, pull = torch.func.vjp(lambda z: row_gradients(f, z, others, seeds), z)
        return torch.reshape(pull(v)[0], (k, n, d))
