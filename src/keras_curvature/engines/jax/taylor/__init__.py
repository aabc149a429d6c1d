"""Rules of the Taylor engine for JAX's primitives.

A rule says how a primitive hands derivatives on. One without a rule is still differentiated
exactly, by JAX itself, along every direction.
"""

from keras_curvature.engines.taylor.registry import Rule, deregister, is_registered, register
from keras_curvature.engines.taylor.rule_constructors import elementwise
from keras_curvature.engines.taylor.rule_constructors import slicewise_linear as linear

__all__ = ["Rule", "deregister", "elementwise", "is_registered", "linear", "register"]
