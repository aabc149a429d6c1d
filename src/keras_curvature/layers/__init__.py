"""Keras layers that train through derivatives: `DerivativeOutput` and the penalties."""

from keras_curvature.layers.curvature_penalty import CurvaturePenalty
from keras_curvature.layers.derivative_output import DerivativeOutput
from keras_curvature.layers.shape_penalty import ShapePenalty

__all__ = ["CurvaturePenalty", "DerivativeOutput", "ShapePenalty"]
