"""Rules of the Taylor engine for ATen's operations.

A rule says how an operation hands derivatives on. One without a rule is still differentiated
exactly, by PyTorch itself, along every direction.
"""

from keras_curvature.engines.taylor.registry import Rule, deregister, is_registered, register
from keras_curvature.engines.taylor.rule_constructors import elementwise
from keras_curvature.engines.taylor.rule_constructors import slicewise_linear as linear

__all__ = ["Rule", "deregister", "elementwise", "is_registered", "linear", "register"]
