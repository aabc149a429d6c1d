"""Taylor propagation through the programs of JAX's primitives."""

from keras_curvature.engines.jax.taylor import rules  # noqa: F401, fills the registry
from keras_curvature.engines.programs.taylor_engine import (
    Taylor,
    fallbacks,
    unsuited,
    why_no_adjoint,
)

__all__ = ["Taylor", "fallbacks", "unsuited", "why_no_adjoint"]
