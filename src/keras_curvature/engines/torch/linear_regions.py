"""Where a model of ATen's operations switches from one linear piece to another."""

from keras_curvature.engines.programs.linear_regions import switches_of

__all__ = ["switches_of"]
