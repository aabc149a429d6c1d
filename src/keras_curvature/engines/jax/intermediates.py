"""What is seen of the operations inside of a model while it runs."""

from keras_curvature.engines.programs.intermediates import (
    dependence_by_input,
    inside,
    narrow,
    results_of,
    watched,
)

__all__ = ["dependence_by_input", "inside", "narrow", "results_of", "watched"]
