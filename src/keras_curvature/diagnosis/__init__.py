"""Why a curvature is zero, hidden or wrong, in words."""

from keras_curvature.diagnosis.examination import diagnose, examine

__all__ = ["diagnose", "examine"]
