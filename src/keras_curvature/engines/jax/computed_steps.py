"""What a model computes on one example, step by step."""

from keras_curvature.engines.programs.computed_steps import computed_steps

__all__ = ["computed_steps"]
