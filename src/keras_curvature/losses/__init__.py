"""Losses for what is estimated."""

from keras_curvature.losses.unbiased_square import UnbiasedSquare

__all__ = ["UnbiasedSquare"]
