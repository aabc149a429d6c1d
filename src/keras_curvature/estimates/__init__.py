"""Curvature in thousands of inputs: estimates from random directions, with their errors."""

from keras_curvature.estimates.estimating import estimate
from keras_curvature.estimates.results import Eigenvalues, Estimate

__all__ = ["Eigenvalues", "Estimate", "estimate"]
