"""Curvature in thousands of inputs: estimates from random directions, with their errors."""

from keras_curvature.estimates.estimator import estimate
from keras_curvature.estimates.results import Eigenvalues, Estimate

__all__ = ["Eigenvalues", "Estimate", "estimate"]
