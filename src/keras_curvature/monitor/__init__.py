"""The callback that watches the curvature of a model in training."""

from keras_curvature.monitor.callback import CurvatureMonitor

__all__ = ["CurvatureMonitor"]
