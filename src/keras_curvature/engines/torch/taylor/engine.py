"""Taylor propagation through the programs of ATen's operations."""

from keras_curvature.engines.programs.taylor_engine import (
    Taylor,
    fallbacks,
    unsuited,
    why_no_adjoint,
)
from keras_curvature.engines.torch.taylor.rules import table  # noqa: F401, fills the registry

__all__ = ["Taylor", "fallbacks", "unsuited", "why_no_adjoint"]
