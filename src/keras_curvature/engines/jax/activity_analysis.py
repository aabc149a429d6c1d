"""Which operations of a program a derivative passes through."""

from keras_curvature.engines.programs.activity_analysis import activity_of

__all__ = ["activity_of"]
