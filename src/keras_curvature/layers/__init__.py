"""Keras layers that train through derivatives: `DerivativeOutput` and `CurvaturePenalty`."""

from keras_curvature.layers.curvature_penalty import CurvaturePenalty
from keras_curvature.layers.derivative_output import DerivativeOutput

__all__ = ["CurvaturePenalty", "DerivativeOutput"]
