"""Rules of the Taylor engine for ops of your own.

A rule says how the ops of one type hand derivatives on. Ops without one are still
differentiated exactly, but one direction at a time.

Example:
    >>> import tensorflow as tf
    >>> import keras_curvature as kc
    >>> kc.taylor.deregister("Tanh")
    >>> kc.taylor.register(
    ...     "Tanh", kc.taylor.elementwise(lambda x, y: 1 - y * y, lambda x, y: -2 * y * (1 - y * y))
    ... )
    >>> kc.taylor.is_registered("Tanh")
    True
"""

from keras_curvature.engines.taylor.registry import Rule, deregister, is_registered, register
from keras_curvature.engines.taylor.rule_constructors import elementwise
from keras_curvature.engines.taylor.rule_constructors import slicewise_linear as linear
from keras_curvature.engines.tensorflow.taylor.rules.decomposition import through

__all__ = ["Rule", "deregister", "elementwise", "is_registered", "linear", "register", "through"]
