"""Why a curvature is zero, hidden or wrong, in words."""

from keras_curvature.diagnosis.examination import diagnose, examine
from keras_curvature.report.verdict import between_classes, verdict, verdict_of_sketch

__all__ = ["between_classes", "diagnose", "examine", "verdict", "verdict_of_sketch"]
