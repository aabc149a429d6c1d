"""Forward over reverse: JAX's own modes, one over the other, on the model as it is evaluated.

The reference engine. Whatever JAX can differentiate twice, this differentiates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from keras_curvature.engines.engine import Engine, for_each
from keras_curvature.engines.jax.first_derivatives import row_gradients, value_and_jacobian
from keras_curvature.engines.jax.flat_function import FlatFunction


@dataclass(frozen=True)  # equal to itself in a key
class Nested(Engine[FlatFunction]):
    """Forward mode over reverse mode."""

    name = "nested"
    why = "exact, and covers whatever JAX can differentiate twice"

    def products(
        self,
        f: FlatFunction,
        rows: Any,
        others: Sequence[Any],
        seeds: Any,
        directions: Any,
    ) -> Any:
        """The derivative of the gradient along each direction."""

        def gradient(z: Any) -> Any:
            return row_gradients(f, z, others, seeds)

        return jax.vmap(lambda v: jax.jvp(gradient, (rows,), (v,))[1])(directions)

    def hessian_rows(self, f: FlatFunction, z: Any, rest: Sequence[Any], directions: Any) -> Any:
        """The derivative of the Jacobian along each direction, `(n, m, k, d)`."""
        directions = for_each(directions, z)

        def jacobian(z: Any) -> Any:
            return value_and_jacobian(f, z, rest)[1]

        found = jax.vmap(lambda v: jax.jvp(jacobian, (z,), (v,))[1])(directions)
        return jnp.transpose(found, (1, 2, 0, 3))
