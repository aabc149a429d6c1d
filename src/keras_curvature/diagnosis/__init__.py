"""Why a curvature is zero, hidden or wrong, in words."""

from keras_curvature.diagnosis.examination import diagnose, examine
from keras_curvature.diagnosis.verdicts import verdict, verdict_of_sketch

__all__ = ["diagnose", "examine", "verdict", "verdict_of_sketch"]
